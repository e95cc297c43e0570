import type { Codec, DeviceId } from '../core/types.ts';
import type { Random } from './random.ts';
import type { Cell, IoGroups, TrackerRecord } from './record.ts';
import { createRoute, type Motion, type Phase, type Route } from './route.ts';
import { createSensors, type Sensors } from './sensors.ts';

export interface DeviceOptions {
  readonly deviceId: DeviceId;
  readonly codec: Codec;
  /** The device's clock at its first record, epoch milliseconds. */
  readonly startTs: number;
  /** Share of records without a fix, 0 to below 1. */
  readonly noFixShare: number;
  /** The device sends the IO layout with a group of 16-byte values. */
  readonly hasIo16: boolean;
  /** Where its vehicle goes; default: made-up roads around a city. */
  readonly route?: Route;
}

/** One tracker: a vehicle's motion, sampled and dressed as AVL records. */
export interface Device {
  readonly deviceId: DeviceId;
  readonly codec: Codec;
  /** The device's clock, epoch milliseconds. */
  readonly clock: number;
  /** The truth about its places is in a ledger: no record may say something else. */
  readonly hasTruePlaces: boolean;
  /**
   * The next record, later than all before; at least `minMs` later, unless the vehicle is on a route
   * whose changes are reported.
   */
  next(minMs?: number): TrackerRecord;
  /** From codec 8 to 8 Extended, as when an IO id above 255 is switched on. */
  extendCodec(): void;
}

/** Milliseconds between records, by what the vehicle does. */
const intervals: Readonly<Record<Phase, readonly [min: number, max: number]>> = {
  driving: [4_000, 12_000],
  waiting: [8_000, 20_000],
  parked: [60_000, 300_000],
};

/** Records that a loss of the fix lasts, on average. */
const noFixRecords = 12;
const rebootShare = 0.2;
const ignitionId = 239;
const movementId = 240;
const generationOnChange = 5;
const generationPeriodical = 7;

interface Place {
  readonly latitude: number;
  readonly longitude: number;
  readonly altitude: number;
}

/** What the records without a fix repeat after a reboot. */
const nowhere: Place = { latitude: 0, longitude: 0, altitude: 0 };

export function createDevice(random: Random, options: DeviceOptions): Device {
  const { deviceId, startTs, noFixShare } = options;
  const route = options.route ?? createRoute(random);
  const sensors = createSensors(random, options.hasIo16);
  const lossChance = noFixShare / (noFixRecords * (1 - noFixShare));
  let codec = options.codec;
  let clock = startTs;
  let ignition = true;
  let lastPlace: Place = placeOf(route.motion);
  let noFixLeft = 0;
  /** An event is followed by a periodical record some milliseconds later. */
  let pairMs = 0;

  function interval(minMs: number): number {
    const [min, max] = intervals[route.motion.phase];
    const pair = pairMs;
    pairMs = 0;
    const usual = pair > 0 ? pair : random.int(min, max);
    const change = route.untilChange();
    const ms =
      change === Number.POSITIVE_INFINITY ? Math.max(minMs, usual) : Math.min(usual, change);
    return codec === '7' ? Math.max(1, Math.round(ms / 1000)) * 1000 : ms;
  }

  function loseOrFindFix(): void {
    if (route.isCovered !== null) noFixLeft = route.isCovered ? 1 : 0;
    else if (noFixLeft > 0) noFixLeft -= 1;
    else if (random.chance(lossChance)) {
      noFixLeft = random.int(1, 2 * noFixRecords - 1);
      if (random.chance(rebootShare)) lastPlace = nowhere;
    }
  }

  function nextRecord(minMs = 0): TrackerRecord {
    const ms = interval(minMs);
    clock += ms;
    route.advance(ms);
    const { motion } = route;
    loseOrFindFix();
    const fix = noFixLeft === 0;
    if (fix) lastPlace = placeOf(motion);

    const turnedOn = motion.phase !== 'parked';
    const event = turnedOn !== ignition;
    ignition = turnedOn;
    if (event && random.chance(0.6)) pairMs = random.int(8, 60);
    const dressed: Sample = { motion, place: lastPlace, fix, ignition, event, ts: clock };
    return codec === '7'
      ? codec7Record(random, sensors, dressed)
      : avlRecord(codec, random, sensors, dressed);
  }

  return {
    deviceId,
    get codec() {
      return codec;
    },
    get clock() {
      return clock;
    },
    hasTruePlaces: route.isCovered !== null,
    next: nextRecord,
    extendCodec() {
      if (codec === '8') codec = '8E';
    },
  };
}

/** One reading of a vehicle. */
interface Sample {
  readonly ts: number;
  readonly motion: Motion;
  readonly place: Place;
  readonly fix: boolean;
  readonly ignition: boolean;
  readonly event: boolean;
}

function avlRecord(
  codec: Exclude<Codec, '7'>,
  random: Random,
  sensors: Sensors,
  sample: Sample,
): TrackerRecord {
  const { ts, motion, place, fix, ignition, event } = sample;
  const moving = motion.speed > 0 ? 1 : 0;
  const own = [ignitionId, ignition ? 1 : 0, movementId, moving, 69, fix ? 1 : 2];
  return {
    ts,
    priority: event ? 1 : 0,
    ...place,
    altitude: Math.round(place.altitude),
    // Without a fix, angle, satellites and speed are 0 and position and altitude are the last known.
    angle: fix ? Math.round(motion.heading) % 360 : 0,
    satellites: fix ? random.int(5, 19) : 0,
    speed: fix ? Math.round(motion.speed) : 0,
    eventIoId: event ? ignitionId : 0,
    generationType: codec === '16' ? (event ? generationOnChange : generationPeriodical) : null,
    io: sensors.read(codec, own, motion),
    cell: null,
  };
}

/** Codec 7: whole seconds, floats, 256ths of a turn, and sometimes no GPS element at all. */
function codec7Record(random: Random, sensors: Sensors, sample: Sample): TrackerRecord {
  const { ts, motion, place, fix, event } = sample;
  const common = {
    ts: Math.floor(ts / 1000) * 1000,
    priority: event ? 1 : 0,
    eventIoId: null,
    generationType: null,
    io: codec7Io(sensors, motion),
  };
  if (!fix) {
    const none = { altitude: null, angle: null, satellites: null, speed: null };
    return { ...common, ...none, latitude: null, longitude: null, cell: null };
  }
  const cell: Cell = {
    lac: random.int(1, 65_535),
    cid: random.int(1, 65_535),
    rssi: random.int(5, 31),
    operator: sensors.operator,
  };
  return {
    ...common,
    latitude: Math.fround(place.latitude),
    longitude: Math.fround(place.longitude),
    altitude: random.chance(0.9) ? Math.max(0, Math.round(place.altitude)) : null,
    angle: (Math.floor((motion.heading * 256) / 360) * 360) / 256,
    satellites: random.chance(0.9) ? random.int(4, 12) : null,
    speed: Math.min(255, Math.round(motion.speed)),
    cell,
  };
}

function codec7Io(sensors: Sensors, { odometer }: Motion): IoGroups {
  return {
    one: [1, sensors.batteryPercent(), 222, 0],
    two: [66, sensors.externalVoltage()],
    four: [16, Math.floor(odometer)],
    eight: [],
    sixteen: null,
    variable: [],
  };
}

/** To the wire's resolution of 10^-7 degrees. */
function placeOf({ latitude, longitude, altitude }: Motion): Place {
  return {
    latitude: Math.round(latitude * 1e7) / 1e7,
    longitude: Math.round(longitude * 1e7) / 1e7,
    altitude,
  };
}
