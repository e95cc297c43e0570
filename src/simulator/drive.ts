import { type Circuit, degreesOf, headingOf, legMetres, legs } from './circuit.ts';
import { type Stretch, stretches } from './circuit-geofences.ts';
import type { Random } from './random.ts';
import type { Motion, Phase, Route } from './route.ts';

/** When a vehicle was in a geofence, epoch milliseconds; Infinity for what has not happened yet. */
export interface Visit {
  /** Index of the geofence on its circuit. */
  readonly geofence: number;
  outerFrom: number;
  from: number;
  to: number;
  outerTo: number;
  /** Metres a second, the least of its edges. */
  slowest: number;
  /** Of shape and margin, metres; 0 for polygons. */
  readonly radiusM: number;
}

/** A vehicle's laps on a circuit, and what really happened on them. */
export interface Drive {
  readonly circuit: Circuit;
  readonly route: Route;
  /** Oldest first. */
  readonly visits: readonly Visit[];
  /** Whether the vehicle kept course and speed between two times. */
  isUniform(from: number, to: number): boolean;
}

/** A stretch of time at one speed on one leg. */
interface Motive {
  readonly phase: Phase;
  readonly startMs: number;
  readonly endMs: number;
  readonly leg: number;
  readonly along: number;
  /** Metres a millisecond. */
  readonly speed: number;
}

/** What comes next on a leg: a rest, or a way at a speed. */
type Intent =
  | { readonly phase: 'waiting' | 'parked'; readonly ms: number }
  | { readonly phase: 'driving'; readonly to: number; readonly speed: number };

/** Cruising speeds, km/h. */
const limits = [30, 50, 50, 70, 90, 110] as const;
const WAIT_CHANCE = 0.25;
const waitMs = [10_000, 90_000] as const;
const PARK_CHANCE = 0.3;
const parkMs = [300_000, 3_600_000] as const;
/** Metres at half of the speed after a rest or a corner, and before a corner. */
const EASY_METRES = 60;
const MIDDLE = legMetres / 2;
const DEPOT_LEG = 5;

/** No satellites: a tunnel, and a garage so near the depot's edge that the exit may be seen late. */
const covers = [
  { leg: 4, from: 200, to: 900 },
  { leg: DEPOT_LEG, from: 1_150, to: 1_600 },
] as const;

/** Legs in whose middle a drive may begin: inside a geofence. */
const indoorLegs: readonly number[] = [0, DEPOT_LEG];

/** Drives a circuit from `startMs` on, lap after lap. */
export function createDrive(random: Random, circuit: Circuit, startMs: number): Drive {
  const visits: Visit[] = [];
  /** Times at which course or speed changed, ascending, rounded up to whole milliseconds. */
  const changes: number[] = [];
  const intents: Intent[] = [];
  let odometer = random.int(1_000_000, 300_000_000);
  let clock = startMs;
  let now = begin();

  function begin(): Motive {
    const leg = random.int(0, legs - 1);
    const isIndoors = indoorLegs.includes(leg) && random.chance(0.5);
    const along = isIndoors ? MIDDLE : 0;
    if (isIndoors) {
      for (const stretch of stretches) {
        if (stretch.leg === leg) visits.push(visitOf(stretch, Number.NEGATIVE_INFINITY));
      }
    }
    planLeg(leg, along);
    return { phase: 'waiting', startMs, endMs: startMs, leg, along, speed: 0 };
  }

  function planLeg(leg: number, along: number): void {
    const speed = random.pick(limits);
    if (random.chance(WAIT_CHANCE)) intents.push({ phase: 'waiting', ms: random.int(...waitMs) });
    let from = along;
    if (leg === DEPOT_LEG && along < MIDDLE && random.chance(PARK_CHANCE)) {
      goTo(from, MIDDLE, speed);
      intents.push({ phase: 'parked', ms: random.int(...parkMs) });
      from = MIDDLE;
    }
    goTo(from, legMetres - EASY_METRES, speed);
    intents.push({ phase: 'driving', to: legMetres, speed: speed / 2 });
  }

  function goTo(from: number, to: number, speed: number): void {
    intents.push({ phase: 'driving', to: from + EASY_METRES, speed: speed / 2 });
    intents.push({ phase: 'driving', to, speed });
  }

  function next(last: Motive): Motive {
    const leg = intents.length === 0 ? (last.leg + 1) % legs : last.leg;
    if (intents.length === 0) planLeg(leg, 0);
    const along = leg === last.leg ? alongAt(last, last.endMs) : 0;
    const intent = intents.shift();
    const motive = motiveOf(intent, leg, along, last.endMs);
    changes.push(Math.ceil(last.endMs));
    noteVisits(motive);
    return motive;
  }

  function noteVisits(motive: Motive): void {
    const reached = alongAt(motive, motive.endMs);
    for (const stretch of stretches) {
      if (stretch.leg !== motive.leg || motive.speed === 0) continue;
      const when = (edge: number) => motive.startMs + (edge - motive.along) / motive.speed;
      const meets = (edge: number) => edge >= motive.along && edge < reached;
      if (meets(stretch.outerFrom)) visits.push(visitOf(stretch, when(stretch.outerFrom)));
      const visit = visits.findLast(({ geofence }) => geofence === stretch.geofence);
      if (visit === undefined) continue;
      for (const edge of ['from', 'to', 'outerTo'] as const) {
        if (!meets(stretch[edge])) continue;
        visit[edge] = when(stretch[edge]);
        visit.slowest = Math.min(visit.slowest, motive.speed * 1000);
      }
    }
  }

  function travel(until: number): void {
    odometer += now.speed * (until - clock);
    clock = until;
  }

  const route: Route = {
    get motion(): Motion {
      const along = alongAt(now, clock);
      const { latitude, longitude } = degreesOf(circuit, { leg: now.leg, along, across: 0 });
      return {
        phase: now.phase,
        latitude,
        longitude: longitude > 180 ? longitude - 360 : longitude,
        altitude: circuit.altitude,
        heading: headingOf(now.leg),
        speed: now.speed * 3600,
        odometer,
      };
    },
    get isCovered() {
      const along = alongAt(now, clock);
      return covers.some(({ leg, from, to }) => leg === now.leg && along >= from && along <= to);
    },
    untilChange: () => Math.max(1, Math.ceil(now.endMs - clock)),
    advance(ms) {
      const target = clock + ms;
      while (now.endMs <= target) {
        travel(now.endMs);
        now = next(now);
      }
      travel(target);
    },
  };

  return {
    circuit,
    route,
    visits,
    isUniform: (from, to) => {
      const at = firstAbove(changes, from);
      return at === changes.length || (changes[at] ?? 0) >= to;
    },
  };
}

function visitOf({ geofence, radiusM }: Stretch, at: number): Visit {
  const never = Number.POSITIVE_INFINITY;
  const from = at === Number.NEGATIVE_INFINITY ? at : never;
  return { geofence, outerFrom: at, from, to: never, outerTo: never, slowest: never, radiusM };
}

function motiveOf(intent: Intent | undefined, leg: number, along: number, startMs: number): Motive {
  if (intent === undefined) throw new RangeError('a leg without an intent');
  const { phase } = intent;
  if (phase !== 'driving') {
    return { phase, startMs, endMs: startMs + intent.ms, leg, along, speed: 0 };
  }
  const speed = intent.speed / 3600;
  return { phase, startMs, endMs: startMs + (intent.to - along) / speed, leg, along, speed };
}

function alongAt({ along, startMs, endMs, speed }: Motive, ms: number): number {
  return along + speed * (Math.min(ms, endMs) - startMs);
}

/** Index of the first number above `value` in an ascending list. */
export function firstAbove(ascending: readonly number[], value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] ?? 0) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
