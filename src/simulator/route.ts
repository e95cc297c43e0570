import type { Random } from './random.ts';

export interface Place {
  readonly latitude: number;
  readonly longitude: number;
  /** Metres, also below the sea. */
  readonly altitude: number;
}

export type Phase = 'driving' | 'waiting' | 'parked';

/** Where a vehicle is and what it does. */
export interface Motion {
  readonly phase: Phase;
  readonly latitude: number;
  readonly longitude: number;
  readonly altitude: number;
  /** Degrees clockwise from north, 0 up to 360. */
  readonly heading: number;
  /** km/h. */
  readonly speed: number;
  /** Metres since the vehicle was new. */
  readonly odometer: number;
}

export interface Route {
  readonly motion: Motion;
  /** Satellites are hidden here; null: the fix is lost by chance, wherever the vehicle is. */
  readonly isCovered: boolean | null;
  /** Milliseconds until the vehicle turns, starts or stops and its tracker reports that. */
  untilChange(): number;
  /** Lets `ms` of the vehicle's life go by. */
  advance(ms: number): void;
}

/** Both hemispheres, both sides of Greenwich and one place below the sea. */
const homes: readonly Place[] = [
  { latitude: 54.6872, longitude: 25.2797, altitude: 112 },
  { latitude: 52.3676, longitude: 4.9041, altitude: -2 },
  { latitude: 48.1374, longitude: 11.5755, altitude: 519 },
  { latitude: 41.9981, longitude: 21.4254, altitude: 240 },
  { latitude: 31.8611, longitude: 35.4606, altitude: -258 },
  { latitude: -1.2864, longitude: 36.8172, altitude: 1661 },
  { latitude: -33.8688, longitude: 151.2093, altitude: 39 },
  { latitude: -23.5505, longitude: -46.6333, altitude: 760 },
  { latitude: 4.711, longitude: -74.0721, altitude: 2640 },
  { latitude: 40.7128, longitude: -74.006, altitude: 10 },
];

/** Limits of the roads that legs are driven on, km/h. */
const limits = [30, 50, 50, 70, 90, 130] as const;
/** At a leg's end: on, a crossing, a bend, back. */
const turns = [0, 0, -90, 90, -45, 45, 25, -25, 180] as const;

const metresPerDegree = 111_320;
const farthestMetres = 60_000;
/** km/h gained or lost in a second. */
const acceleration = 7;
const longestStepMs = 5_000;

/** A vehicle on made-up roads around one of a few cities; it stops at lights and parks. */
export function createRoute(random: Random): Route {
  const home = random.pick(homes);
  let phase: Phase = 'driving';
  let north = random.between(-8_000, 8_000);
  let east = random.between(-8_000, 8_000);
  let climb = 0;
  let heading = random.between(0, 360);
  let speed = random.between(0, 50);
  let odometer = random.int(1_000_000, 300_000_000);
  let limit: number = random.pick(limits);
  let legMetres = random.between(100, 3_000);
  let restMs = 0;

  function step(ms: number): void {
    if (phase !== 'driving') {
      restMs -= ms;
      if (restMs <= 0) phase = 'driving';
      return;
    }
    const seconds = ms / 1000;
    const change = Math.min(Math.abs(limit - speed), acceleration * seconds);
    speed += speed < limit ? change : -change;
    const metres = (speed / 3.6) * seconds;
    const radians = (heading * Math.PI) / 180;
    north += Math.cos(radians) * metres;
    east += Math.sin(radians) * metres;
    climb = Math.max(-40, Math.min(300, climb + random.between(-0.02, 0.02) * metres));
    heading = turned(heading, random.between(-1.5, 1.5) * seconds);
    odometer += metres;
    legMetres -= metres;
    if (legMetres <= 0) nextLeg();
  }

  function nextLeg(): void {
    heading = turned(heading, random.pick(turns));
    // Too far out: the next road leads home.
    if (Math.hypot(north, east) > farthestMetres) {
      heading = turned((Math.atan2(-east, -north) * 180) / Math.PI, 0);
    }
    limit = random.pick(limits);
    legMetres = random.between(100, limit * 60);
    if (random.chance(0.25)) rest('waiting', random.between(10_000, 90_000));
    else if (random.chance(0.05)) rest('parked', random.between(300_000, 3_600_000));
  }

  function rest(kind: 'waiting' | 'parked', ms: number): void {
    phase = kind;
    restMs = ms;
    speed = 0;
  }

  return {
    get motion() {
      const latitude = home.latitude + north / metresPerDegree;
      const shrink = Math.cos((home.latitude * Math.PI) / 180);
      return {
        phase,
        latitude,
        longitude: home.longitude + east / (metresPerDegree * shrink),
        altitude: home.altitude + climb,
        heading,
        speed,
        odometer,
      };
    },
    isCovered: null,
    untilChange: () => Number.POSITIVE_INFINITY,
    advance(ms) {
      for (let left = ms; left > 0; left -= longestStepMs) step(Math.min(left, longestStepMs));
    },
  };
}

function turned(heading: number, by: number): number {
  return (((heading + by) % 360) + 360) % 360;
}
