import type { Codec, DeviceId } from '../core/types.ts';
import { circuits } from './circuit.ts';
import { geofencesOn } from './circuit-geofences.ts';
import type { DrivingDevice } from './crossing-ledger.ts';
import { createDevice, type Device } from './device.ts';
import { createDrive } from './drive.ts';
import type { SimulatedEntry } from './entry.ts';
import { toEntries } from './entry-forms.ts';
import type { Form } from './faults.ts';
import { type Habits, realHabits } from './habits.ts';
import { maxDevices, maxFleets, simulatedImei } from './imei.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { createRandom, type Random } from './random.ts';

export const fleetForms = ['a', 'b', 'mixed'] as const;
/** A: every record as a payload; B: every packet as a frame; mixed: by chance. */
export type FleetForm = (typeof fleetForms)[number];

export interface FleetOptions {
  /** Any non-negative safe integer; the same one with the same other options gives the same entries. */
  readonly seed: number;
  /** "Now" for the fleet, epoch milliseconds: its records end about here. */
  readonly baseTime: number;
  readonly devices: number;
  readonly form: FleetForm;
  /** Records in a packet, on average. */
  readonly packetRecords: number;
  readonly habits?: Habits;
  /** Records that will be asked for: sets how far before `baseTime` the devices begin. */
  readonly expectedRecords: number;
  /** All vehicles drive circuits through geofences; default: made-up roads. */
  readonly drivesCircuits?: boolean;
}

export interface Fleet {
  readonly deviceIds: readonly DeviceId[];
  /** Devices that drive circuits; none when `drivesCircuits` is not set. */
  readonly driving: readonly DrivingDevice[];
  /** @throws RangeError when far more records are asked for than `expectedRecords`. */
  next(): SimulatedEntry;
}

/** Shares of codecs among devices: the newer trackers of one maker speak 8 or 8 Extended. */
const codecMix: readonly Codec[] = [
  ...new Array<Codec>(9).fill('8'),
  ...new Array<Codec>(8).fill('8E'),
  ...new Array<Codec>(2).fill('16'),
  '7',
];

/** Measured over the routes, outages included, and rounded up. */
const meanIntervalMs = 25_000;
const hourMs = 3_600_000;
/** Beyond this the service would take records for those of a wrong clock. */
const mostAheadMs = 12 * hourMs;
const receiveDelayMs = 700;

interface Unit {
  readonly device: Device;
  readonly outbox: Outbox;
  readonly random: Random;
  readonly transport: 'tcp' | 'udp';
  readonly tellsReceivedAt: boolean;
  readonly driving: DrivingDevice | null;
}

/** One device in so many is in no table of the owner: its drive must leave no timing record. */
const unregisteredEvery = 10;

/**
 * A fleet of trackers and what they send, entry by entry. Uses no clock and no chance but its
 * seed. The IMEIs are of a range for test equipment and follow from seed and base time, so that
 * two runs on one database do not meet.
 */
export function createFleet(options: FleetOptions): Fleet {
  checkOptions(options);
  const { seed, baseTime, devices, form, expectedRecords } = options;
  const habits = habitsFor(options);
  const random = createRandom(seed, 0);
  const fleetNumber = Math.floor(createRandom(seed, baseTime % 2 ** 31).next() * maxFleets);
  const spanMs = (expectedRecords / devices) * meanIntervalMs + 6 * hourMs;
  const units = Array.from({ length: devices }, (_, index) =>
    createUnit(index, simulatedImei(fleetNumber, index), baseTime - spanMs, habits, options),
  );
  let waiting: SimulatedEntry[] = [];
  let waitingAt = 0;

  function nextParcel(): SimulatedEntry[] {
    const unit = random.pick(units);
    const { device, outbox, transport, tellsReceivedAt } = unit;
    if (device.clock > baseTime + mostAheadMs) {
      throw new RangeError(
        `the fleet was made for ${expectedRecords} records and has come to its end; raise expectedRecords`,
      );
    }
    const chosen = formOf(form, device.codec, unit.random);
    const parcel = outbox.next(chosen);
    const receivedAt = tellsReceivedAt ? device.clock + receiveDelayMs : null;
    const { deviceId, codec } = device;
    const channel = { deviceId, codec, transport, receivedAt, hexShare: habits.hexFrame };
    return toEntries(parcel, chosen, channel, unit.random);
  }

  return {
    deviceIds: units.map((unit) => unit.device.deviceId),
    driving: units.flatMap(({ driving }) => driving ?? []),
    next() {
      for (;;) {
        const entry = waiting[waitingAt];
        waitingAt += 1;
        if (entry !== undefined) return entry;
        waiting = nextParcel();
        waitingAt = 0;
      }
    },
  };
}

function createUnit(
  index: number,
  deviceId: DeviceId,
  startTs: number,
  habits: Habits,
  options: FleetOptions,
): Unit {
  const { seed, form, packetRecords } = options;
  const random = createRandom(seed, index + 1);
  const mixed = random.pick(codecMix);
  const codec = mixed === '7' && form === 'a' ? '8' : mixed;
  // Staggered, so that devices do not speak at the same millisecond.
  const start = Math.floor((startTs + random.int(0, 600_000)) / 1000) * 1000;
  const offset = codec === '7' ? 0 : random.int(0, 999);
  const startMs = start + offset;
  const driving = options.drivesCircuits ? drivingOf(index, deviceId, startMs, options) : null;
  const device = createDevice(random, {
    deviceId,
    codec,
    startTs: startMs,
    noFixShare: habits.noFix,
    hasIo16: random.chance(habits.io16),
    ...(driving === null ? {} : { route: driving.drive.route }),
  });
  return {
    device,
    outbox: createOutbox(device, random, habits, packetRecords),
    random,
    transport: random.chance(habits.udp) ? 'udp' : 'tcp',
    tellsReceivedAt: random.chance(0.5),
    driving,
  };
}

/** A device on one of the circuits; its ways have chance of their own, whatever it reports. */
function drivingOf(
  index: number,
  deviceId: DeviceId,
  startMs: number,
  { seed, baseTime, devices }: FleetOptions,
): DrivingDevice {
  const circuit = circuits[index % circuits.length];
  if (circuit === undefined) throw new RangeError('there is no circuit');
  return {
    deviceId,
    drive: createDrive(createRandom(seed, devices + index + 1), circuit, startMs),
    geofences: geofencesOn(circuit, `${seed}/${baseTime}`),
    isRegistered: index % unregisteredEvery !== unregisteredEvery - 1,
  };
}

/** Messages, empty packets, hex and other protocols are frames; payload entries have none of them. */
function habitsFor({ form, habits = realHabits }: FleetOptions): Habits {
  return form === 'a' ? { ...habits, message: 0, empty: 0, codecChange: 0, foreign: 0 } : habits;
}

/** Codec 7 has no payload entry. */
function formOf(form: FleetForm, codec: Codec, random: Random): Form {
  if (form === 'b' || codec === '7') return 'frame';
  return form === 'a' || random.chance(0.5) ? 'payload' : 'frame';
}

function checkOptions({ seed, baseTime, devices, packetRecords }: FleetOptions): void {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError('seed: a non-negative integer');
  if (!Number.isSafeInteger(baseTime)) throw new RangeError('baseTime: epoch milliseconds');
  if (!Number.isInteger(devices) || devices < 1 || devices > maxDevices) {
    throw new RangeError(`devices: 1 to ${maxDevices}`);
  }
  if (!Number.isInteger(packetRecords) || packetRecords < 1 || packetRecords > 255) {
    throw new RangeError('packetRecords: 1 to 255');
  }
}
