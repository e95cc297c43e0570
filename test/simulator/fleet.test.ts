import { expect, test } from 'vitest';
import type { LedgerRecord, SimulatedEntry } from '../../src/simulator/entry.ts';
import { createFleet, type FleetOptions } from '../../src/simulator/fleet.ts';
import { plainHabits } from '../../src/simulator/habits.ts';
import { crc16 } from '../../src/teltonika/crc16.ts';
import { isDeviceId, passesLuhn } from '../../src/teltonika/imei.ts';

const baseTime = Date.UTC(2026, 5, 1, 12);

function options(changes: Partial<FleetOptions> = {}): FleetOptions {
  return {
    seed: 5,
    baseTime,
    devices: 40,
    form: 'mixed',
    packetRecords: 8,
    expectedRecords: 50_000,
    ...changes,
  };
}

/** Entries until at least so many records. */
function entriesOf(records: number, changes: Partial<FleetOptions> = {}): SimulatedEntry[] {
  const fleet = createFleet(options({ expectedRecords: records, ...changes }));
  const entries: SimulatedEntry[] = [];
  for (let made = 0; made < records; ) {
    const entry = fleet.next();
    entries.push(entry);
    made += entry.records.length;
  }
  return entries;
}

type PositionRecord = Extract<LedgerRecord, { kind: 'position' }>;

function positionsOf(entries: readonly SimulatedEntry[]): PositionRecord[] {
  return entries.flatMap(({ records }) => records).filter((record) => record.kind === 'position');
}

function keyOf({ deviceId, ts }: PositionRecord): string {
  return `${deviceId}/${ts}`;
}

function fieldOf({ fields }: SimulatedEntry, name: string): Buffer | null {
  const at = fields.findIndex((field, index) => index % 2 === 0 && field === name);
  const value = fields[at + 1];
  return at === -1 || value === undefined ? null : Buffer.from(value);
}

test('the same seed and base time give the same entries, byte for byte', () => {
  expect(entriesOf(5_000)).toEqual(entriesOf(5_000));
});

test('another seed, and another base time, give other devices', () => {
  const fleets = [{}, { seed: 6 }, { baseTime: baseTime + 1 }].map(
    (changes) => createFleet(options(changes)).deviceIds,
  );
  expect(new Set(fleets.flat()).size).toBe(120);
});

test('devices have IMEIs of the test range with a Luhn digit', () => {
  for (const imei of createFleet(options({ devices: 500 })).deviceIds) {
    expect(imei).toMatch(/^00/);
    expect(isDeviceId(imei) && passesLuhn(imei)).toBe(true);
  }
});

test('every record lies before the base time but within the reach of a device clock', () => {
  for (const { ts } of positionsOf(entriesOf(50_000))) {
    expect(ts).toBeLessThan(baseTime + 12 * 3_600_000);
    expect(ts).toBeGreaterThan(baseTime - 90 * 86_400_000);
  }
});

test('one record in ten is sent again, mostly in another packet', () => {
  const entries = entriesOf(60_000, { form: 'b' });
  const firstEntry = new Map<string, number>();
  let repeats = 0;
  let elsewhere = 0;
  entries.forEach((entry, place) => {
    for (const record of positionsOf([entry])) {
      const before = firstEntry.get(keyOf(record));
      if (before === undefined) firstEntry.set(keyOf(record), place);
      else {
        repeats += 1;
        if (before !== place) elsewhere += 1;
      }
    }
  });
  expect(repeats / 60_000).toBeGreaterThan(0.09);
  expect(repeats / 60_000).toBeLessThan(0.11);
  expect(elsewhere / repeats).toBeGreaterThan(0.99);
});

test('packets are newest first, and some devices send hours of old records late', () => {
  const newest = new Map<string, number>();
  let ascending = 0;
  let packets = 0;
  let latest = 0;
  for (const entry of entriesOf(60_000, { form: 'b' })) {
    const positions = positionsOf([entry]);
    const [first, last] = [positions.at(0), positions.at(-1)];
    if (first === undefined || last === undefined) continue;
    if (first.ts !== last.ts) packets += 1;
    if (first.ts < last.ts) ascending += 1;
    const known = newest.get(first.deviceId) ?? first.ts;
    latest = Math.max(latest, known - last.ts);
    newest.set(first.deviceId, Math.max(known, first.ts));
  }
  expect(ascending / packets).toBeLessThan(0.02);
  expect(ascending).toBeGreaterThan(0);
  expect(latest).toBeGreaterThan(3 * 3_600_000);
});

test('a fifth of the records has no fix, some of them at 0/0, and none of these moves', () => {
  const positions = positionsOf(entriesOf(60_000));
  const lost = positions.filter(({ content }) => content.satellites === 0);
  expect(lost.length / positions.length).toBeGreaterThan(0.15);
  expect(lost.length / positions.length).toBeLessThan(0.25);
  expect(lost.filter(({ content }) => content.latitude === 0).length).toBeGreaterThan(100);
  expect(lost.every(({ content }) => content.speed === 0 && !content.fix)).toBe(true);
});

test('some times are used twice with other content', () => {
  const versions = new Map<string, Set<string>>();
  for (const record of positionsOf(entriesOf(60_000))) {
    const known = versions.get(keyOf(record)) ?? new Set<string>();
    versions.set(keyOf(record), known.add(JSON.stringify(record.content)));
  }
  const contested = [...versions.values()].filter((contents) => contents.size > 1);
  expect(contested.length).toBeGreaterThan(20);
  expect(contested.length).toBeLessThan(200);
});

test('all codecs occur, with negative temperatures, values beyond 2^53, bytes and null places', () => {
  const positions = positionsOf(entriesOf(60_000));
  expect([...new Set(positions.map(({ codec }) => codec))].sort()).toEqual(['16', '7', '8', '8E']);
  const values = positions.flatMap(({ content }) => Object.entries(content.attributes));
  expect(values.some(([id, value]) => id === '72' && Number(value) > 2 ** 31)).toBe(true);
  expect(values.some(([id, value]) => id === '78' && typeof value === 'string')).toBe(true);
  expect(values.some(([id, value]) => id === '385' && value === '')).toBe(true);
  expect(positions.some(({ content }) => content.latitude === null)).toBe(true);
});

test('frames come as TCP, as UDP and as hex; TCP frames carry their CRC', () => {
  const entries = entriesOf(20_000, { form: 'b' }).filter(({ records: [first] }) => {
    return first?.kind === 'position';
  });
  const frames = entries.map((entry) => fieldOf(entry, 'frame')).filter((frame) => frame !== null);
  const tcp = frames.filter((frame) => frame.readUInt32BE(0) === 0);
  expect(frames.length - tcp.length).toBeGreaterThan(50);
  expect(entries.length - frames.length).toBeGreaterThan(10);
  for (const frame of tcp) {
    expect(frame.readUInt32BE(frame.length - 4)).toBe(crc16(frame, 8, frame.length - 4));
  }
});

test('a plain fleet sends only good records, each once, in order and in equal packets', () => {
  const entries = entriesOf(20_000, { form: 'b', habits: plainHabits });
  expect(new Set(entries.map(({ records }) => records.length))).toEqual(new Set([8]));
  const positions = positionsOf(entries);
  expect(positions.length).toBe(20_000);
  expect(new Set(positions.map(keyOf)).size).toBe(20_000);
  const last = new Map<string, number>();
  for (const { deviceId, ts } of positions) {
    expect(ts).toBeGreaterThan(last.get(deviceId) ?? 0);
    last.set(deviceId, ts);
  }
});

test('neighbouring records lie on a drivable route', () => {
  const last = new Map<string, PositionRecord>();
  for (const record of positionsOf(entriesOf(20_000, { form: 'b', habits: plainHabits }))) {
    const before = last.get(record.deviceId);
    last.set(record.deviceId, record);
    if (before === undefined || record.codec === '7') continue;
    const { latitude, longitude } = record.content;
    const north = ((latitude ?? 0) - (before.content.latitude ?? 0)) * 111_320;
    const shrink = Math.cos(((latitude ?? 0) * Math.PI) / 180);
    const east = ((longitude ?? 0) - (before.content.longitude ?? 0)) * 111_320 * shrink;
    const kmh = (Math.hypot(north, east) / (record.ts - before.ts)) * 3_600;
    // An event pair is milliseconds apart: rounding weighs more there.
    if (record.ts - before.ts > 1_000) expect(kmh).toBeLessThan(140);
  }
});

test('a fleet asked for far more than expected says so before its clocks reach the future', () => {
  const fleet = createFleet(options({ devices: 1, expectedRecords: 10, habits: plainHabits }));
  expect(() => {
    for (let entries = 0; entries < 10_000; entries += 1) fleet.next();
  }).toThrow(/raise expectedRecords/);
});

test.each([
  ['seed', { seed: -1 }],
  ['baseTime', { baseTime: 0.5 }],
  ['devices', { devices: 0 }],
  ['packetRecords', { packetRecords: 256 }],
] as const)('%s out of its range is refused by name', (name, changes) => {
  expect(() => createFleet(options(changes))).toThrow(new RegExp(`^${name}`));
});
