import type { Visit } from './drive.ts';

/** A crossing that a drive made, and when its timing record may be dated, epoch milliseconds. */
export interface ExpectedCrossing {
  readonly device: string;
  /** Key of the geofence. */
  readonly geofence: string;
  readonly direction: 'enter' | 'exit';
  readonly earliest: number;
  readonly latest: number;
  /** False: it hangs on a fix at the very edge, or on one that was never sent. It may be found. */
  readonly isRequired: boolean;
}

/** What the service's settings make of a drive. */
export interface CrossingRules {
  /** DOMAIN_MAX_HOP: fixes farther apart in time are not interpolated. */
  readonly maxHopMs: number;
  /** DOMAIN_MIN_SATELLITES. */
  readonly minSatellites: number;
}

/** The crossings of one geofence, in the terms of the drive alone. */
export interface DriveThrough {
  /** Of one geofence, oldest first. */
  readonly visits: readonly Visit[];
  /** Times of the usable fixes that were sent, ascending, each once. */
  readonly fixes: readonly number[];
  readonly isUniform: (from: number, to: number) => boolean;
  /** How far a fix may lie from its true place, metres. */
  readonly placeErrorM: number;
  readonly maxHopMs: number;
}

type Found = Omit<ExpectedCrossing, 'device' | 'geofence'> & { readonly visit: number };

/** The vertical of a degree changes by this share over a circuit, and a radius with it. */
const PLANE_ERROR = 0.005;
/** Rounding of times, degrees and speeds. */
const LEAST_TOLERANCE_MS = 5;

/**
 * Finds what an exact service must find. It knows when the vehicle was inside (`visits`) and when
 * fixes were sent, and nothing about shapes: two fixes on one straight, even way date a crossing to
 * some milliseconds, other ones only to the time between them.
 *
 * Walked three times, with visits as they were and a tolerance longer and shorter: what all three
 * find is required; what only some find may be found.
 */
export function crossingsOf(through: DriveThrough): Omit<Found, 'visit'>[] {
  const [exact, ...others] = [0, 1, -1].map((grow) => walk(through, grow));
  const byKey = new Map<string, Found[]>();
  for (const found of [exact, ...others].flatMap((walked) => walked ?? [])) {
    const key = `${found.visit}/${found.direction}`;
    byKey.set(key, [...(byKey.get(key) ?? []), found]);
  }
  return [...byKey.values()].map((versions) => ({
    direction: versions[0]?.direction ?? 'enter',
    earliest: Math.min(...versions.map(({ earliest }) => earliest)),
    latest: Math.max(...versions.map(({ latest }) => latest)),
    isRequired: versions.length === 3 && versions.every(({ isRequired }) => isRequired),
  }));
}

interface Hop {
  /** Null: there is no fix before. */
  readonly before: number | null;
  readonly after: number;
  /** Indexes of the visits that were begun, with their margin, before its end and not over at its start. */
  readonly first: number;
  readonly last: number;
}

/** How far the edges of a visit may be off, in time. */
function toleranceOf({ radiusM, slowest }: Visit, placeErrorM: number): number {
  return LEAST_TOLERANCE_MS + ((placeErrorM + radiusM * PLANE_ERROR) / slowest) * 1000;
}

function grown(visit: Visit, grow: number, placeErrorM: number): Visit & { tolerance: number } {
  const tolerance = toleranceOf(visit, placeErrorM);
  const by = grow * tolerance;
  return {
    ...visit,
    outerFrom: visit.outerFrom - by,
    from: visit.from - by,
    to: visit.to + by,
    outerTo: visit.outerTo + by,
    tolerance,
  };
}

/** One walk over the fixes; `grow` 1, 0 or -1 tolerances. */
function walk(
  { visits: asDriven, fixes, isUniform, placeErrorM, maxHopMs }: DriveThrough,
  grow: number,
): Found[] {
  const visits = asDriven.map((visit) => grown(visit, grow, placeErrorM));
  const found: Found[] = [];
  /** The visit that the vehicle is known to be on; null: outside. */
  let current: number | null = null;
  /** Whether it is certain how the last visit began. */
  let isSure = true;

  function note(visit: number, direction: Found['direction'], at: number | null, hop: Hop): void {
    const tolerance = visits[visit]?.tolerance ?? 0;
    const earliest = (at ?? hop.before ?? hop.after) - tolerance;
    const latest = (at ?? hop.after) + tolerance;
    found.push({ visit, direction, earliest, latest, isRequired: isSure });
  }

  /** The time of an edge if the hop shows it exactly; null: anywhere on the hop. */
  function dated(hop: Hop, edge: number): number | null {
    if (!isNear(hop)) return hop.after;
    const isPlain = hop.first === hop.last && hop.before !== null;
    return isPlain && isUniform(hop.before, hop.after) ? edge : null;
  }

  function isNear({ before, after }: Hop): boolean {
    return before !== null && after - before <= maxHopMs;
  }

  function fromOutside(hop: Hop): void {
    const { after, before, last } = hop;
    const standing = visits[last];
    if (standing === undefined) return;
    const isInside = after >= standing.from && after < standing.to;
    if (before === null || !isNear(hop)) {
      if (!isInside) return;
      note(last, 'enter', after, hop);
      current = last;
      return;
    }
    let entered = hop.first;
    while ((visits[entered]?.from ?? Infinity) <= before) entered += 1;
    const visit = visits[entered];
    if (visit === undefined || visit.from > after) return;
    // A way with a bend may or may not lead through what lies behind the bend.
    isSure = isInside || isUniform(before, after);
    note(entered, 'enter', dated(hop, visit.from), hop);
    if (after < standing.outerTo) current = last;
    else {
      note(entered, 'exit', dated(hop, visit.outerTo), hop);
      isSure = true;
    }
  }

  function fromInside(hop: Hop, from: number): void {
    const standing = visits[hop.last];
    if (standing !== undefined && hop.after < standing.outerTo) {
      current = hop.last;
      return;
    }
    note(from, 'exit', dated(hop, visits[from]?.outerTo ?? hop.after), hop);
    current = null;
    isSure = true;
  }

  let first = 0;
  let before: number | null = null;
  for (const after of fixes) {
    while (before !== null && (visits[first]?.outerTo ?? Infinity) <= before) first += 1;
    let last = first;
    while ((visits[last + 1]?.outerFrom ?? Infinity) <= after) last += 1;
    const isBegun = (visits[first]?.outerFrom ?? Infinity) <= after;
    if (isBegun || current !== null) {
      const hop = { before, after, first, last };
      if (current === null) fromOutside(hop);
      else fromInside(hop, current);
    }
    before = after;
  }
  return found;
}
