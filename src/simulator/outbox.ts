import type { Device } from './device.ts';
import { type Form, misdate, type ParcelRecord, spoil } from './faults.ts';
import type { Habits } from './habits.ts';
import type { Random } from './random.ts';
import type { TrackerRecord } from './record.ts';

/** What a device sends at once. */
export type Parcel =
  | { readonly kind: 'records'; readonly records: readonly ParcelRecord[] }
  | { readonly kind: 'damaged'; readonly records: readonly ParcelRecord[] }
  | { readonly kind: 'message' }
  | { readonly kind: 'foreign' };

export interface Outbox {
  next(form: Form): Parcel;
}

/** Sent records a device may send again. */
const historyRecords = 200;
/** Repeats come in groups: this many are due before some are sent. */
const leastRepeats = 3;
const outageRecords: readonly [number, number] = [40, 160];
const outageIntervalMs: readonly [number, number] = [60_000, 120_000];
const mostRecords = 255;

/** The position of a record, which decides what is in its other GPS fields. */
function positionOf(record: TrackerRecord) {
  const { latitude, longitude, altitude, angle, satellites, speed, cell } = record;
  return { latitude, longitude, altitude, angle, satellites, speed, cell };
}

/** What a device has to send and in which habits it does so. */
export function createOutbox(
  device: Device,
  random: Random,
  habits: Habits,
  packetRecords: number,
): Outbox {
  /** Oldest first. */
  const backlog: TrackerRecord[] = [];
  const history: TrackerRecord[] = [];
  let repeatsDue = 0;

  function packetSize(): number {
    if (!habits.packetsVary) return packetRecords;
    return random.int(1, Math.min(mostRecords, 2 * packetRecords - 1));
  }

  /** A backlog is sent newest first, between packets of what is new. */
  function takeRecords(): TrackerRecord[] {
    const size = packetSize();
    if (backlog.length > 0 && random.chance(0.5)) return backlog.splice(-size);
    const records: TrackerRecord[] = [];
    while (records.length < size) records.push(device.next());
    return records;
  }

  function goOutOfReach(): void {
    const records = random.int(...outageRecords);
    for (let made = 0; made < records; made += 1) {
      backlog.push(device.next(random.int(...outageIntervalMs)));
    }
  }

  /** Repeats that are due, drawn from what was sent; the debt keeps their share exact. */
  function takeRepeats(fresh: number): TrackerRecord[] {
    repeatsDue += (fresh * habits.repeat) / (1 - habits.repeat);
    if (repeatsDue < leastRepeats || history.length === 0 || random.chance(0.5)) return [];
    const room = mostRecords - fresh;
    const repeats: TrackerRecord[] = [];
    for (; repeatsDue >= 1 && repeats.length < room; repeatsDue -= 1) {
      repeats.push(random.pick(history));
    }
    return repeats;
  }

  function remember(records: readonly TrackerRecord[]): void {
    history.push(...records);
    if (history.length > historyRecords) history.splice(0, history.length - historyRecords);
  }

  /** A record with a time that was used before, when the habit and a record to meet are there. */
  function withOwnClock(record: TrackerRecord): TrackerRecord {
    if (history.length === 0 || !random.chance(habits.repeatedClock)) return record;
    const before = random.pick(history);
    return { ...record, ...(device.hasTruePlaces ? positionOf(before) : null), ts: before.ts };
  }

  function spoiled(record: TrackerRecord, form: Form): ParcelRecord {
    if (random.chance(habits.wrongClock)) return misdate(record, device.codec, random);
    if (random.chance(habits.badRecord)) return spoil(record, device.codec, form, random);
    return { record, fault: null };
  }

  function inOrder(records: TrackerRecord[]): TrackerRecord[] {
    const newestFirst = random.chance(habits.newestFirst);
    return records.sort((a, b) => (newestFirst ? b.ts - a.ts : a.ts - b.ts));
  }

  function nextRecords(form: Form): Parcel {
    const fresh = takeRecords().map(withOwnClock);
    if (backlog.length === 0 && random.chance(habits.outage)) goOutOfReach();
    if (random.chance(habits.corrupt)) {
      // Not acknowledged, so the device keeps them.
      backlog.push(...fresh);
      const records = fresh.map((record) => ({ record, fault: null }));
      return { kind: 'damaged', records };
    }
    const parcel: ParcelRecord[] = [];
    const freshOnes = new Set(fresh);
    for (const record of inOrder([...fresh, ...takeRepeats(fresh.length)])) {
      parcel.push(freshOnes.has(record) ? spoiled(record, form) : { record, fault: null });
    }
    remember(parcel.filter(({ fault }) => fault === null).map(({ record }) => record));
    return { kind: 'records', records: parcel };
  }

  return {
    next(form) {
      if (random.chance(habits.message)) return { kind: 'message' };
      if (random.chance(habits.foreign)) return { kind: 'foreign' };
      if (random.chance(habits.empty)) return { kind: 'records', records: [] };
      if (random.chance(habits.codecChange)) device.extendCodec();
      return nextRecords(form);
    },
  };
}
