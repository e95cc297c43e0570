import type { Evaluation } from './evaluation.ts';
import { hopBetween, isBeside, standingOf } from './geofence.ts';
import { entryShare, exitShare, type Hop, insideShare } from './hop.ts';
import { isInside } from './shape.ts';
import type { Crossing, Direction, DomainOptions, Fix, Method } from './types.ts';

/** Whether the device is inside, as far as its fixes up to now show. */
export type Inside = boolean;

/** One place where a crossing is put: its time, and degrees. */
interface Point {
  readonly at: number;
  readonly longitude: number;
  readonly latitude: number;
}

/**
 * Evaluates one hop: the movement from `previous` to `fix`, two usable fixes of the device with none
 * between them. The answer depends on its arguments alone, so a window can be computed again in any
 * order of arrival.
 *
 * Appends the crossings of the hop to `found`, oldest first; each has `afterTs` = `fix.ts`, which says
 * which hop it is of.
 * @param previous null, or too long ago: not known
 * @returns whether the device is inside after the hop
 */
export function step(
  evaluation: Evaluation,
  inside: Inside,
  previous: Fix | null,
  fix: Fix,
  options: DomainOptions,
  found: Crossing[],
): Inside {
  const { from, to } = evaluation;
  if (fix.ts < from) return false;
  const before = knownBefore(evaluation, previous, fix, options);
  if (fix.ts >= to) {
    if (inside) found.push(ended(evaluation, before, fix));
    return false;
  }
  return inside
    ? stepInside(evaluation, before, fix, options, found)
    : stepOutside(evaluation, before, fix, options, found);
}

/** The previous fix where the evaluation was valid then and it is not too long ago. */
function knownBefore(
  { from, to }: Evaluation,
  previous: Fix | null,
  fix: Fix,
  { maxSilenceMs }: DomainOptions,
): Fix | null {
  if (previous === null || previous.ts < from || previous.ts >= to) return null;
  return fix.ts - previous.ts <= maxSilenceMs ? previous : null;
}

function stepInside(
  evaluation: Evaluation,
  before: Fix | null,
  fix: Fix,
  { maxHopMs }: DomainOptions,
  found: Crossing[],
): Inside {
  const { geofence } = evaluation;
  if (standingOf(geofence, fix) !== 'outside') return true;
  if (before === null || fix.ts - before.ts > maxHopMs) {
    found.push(crossing(evaluation, 'exit', 'gap', before, fix, pointOf(fix)));
    return false;
  }
  const hop = hopBetween(geofence, before, fix);
  const point = pointOn(before, fix, hop, exitShare(geofence.shape, geofence.marginM, hop));
  found.push(crossing(evaluation, 'exit', 'interpolated', before, fix, point));
  return false;
}

function stepOutside(
  evaluation: Evaluation,
  before: Fix | null,
  fix: Fix,
  { maxHopMs }: DomainOptions,
  found: Crossing[],
): Inside {
  const { geofence } = evaluation;
  const isNear = before !== null && fix.ts - before.ts <= maxHopMs;
  const hop = hopBetween(geofence, isNear ? before : fix, fix);
  if (isBeside(geofence, hop)) return false;
  const isIn = isInside(geofence.shape, hop.x2, hop.y2);
  if (!isNear) {
    if (!isIn) return false;
    const method = before === null ? 'first_fix' : 'gap';
    found.push(crossing(evaluation, 'enter', method, before, fix, pointOf(fix)));
    return true;
  }
  if (!isIn) return passThrough(evaluation, before, fix, hop, found);
  const point = pointOn(before, fix, hop, entryShare(geofence.shape, hop));
  found.push(crossing(evaluation, 'enter', 'interpolated', before, fix, point));
  return true;
}

/** Both ends are outside the shape; the movement between them may still cut it. */
function passThrough(
  evaluation: Evaluation,
  before: Fix,
  fix: Fix,
  hop: Hop,
  found: Crossing[],
): Inside {
  const { shape, marginM } = evaluation.geofence;
  const middle = insideShare(shape, hop);
  if (middle === null) return false;
  const entered = pointOn(before, fix, hop, entryShare(shape, hop, middle));
  found.push(crossing(evaluation, 'enter', 'passed', before, fix, entered));
  if (standingOf(evaluation.geofence, fix) === 'margin') return true;
  const left = pointOn(before, fix, hop, exitShare(shape, marginM, hop, middle));
  found.push(crossing(evaluation, 'exit', 'passed', before, fix, left));
  return false;
}

/** The validity ended while the device was inside; where it was then is the last fix that is known. */
function ended(evaluation: Evaluation, before: Fix | null, fix: Fix): Crossing {
  const { longitude, latitude } = before ?? fix;
  const point = { at: evaluation.to, longitude, latitude };
  return crossing(evaluation, 'exit', 'ended', before, fix, point);
}

function pointOf({ ts, longitude, latitude }: Fix): Point {
  return { at: ts, longitude, latitude };
}

/**
 * A share of the hop as time and place. The time is later than the fix before and no later than the
 * fix after, so that crossings sort into hops.
 */
function pointOn(before: Fix, after: Fix, { x1, y1, x2, y2 }: Hop, share: number): Point {
  const at = Math.round(before.ts + (after.ts - before.ts) * share);
  return {
    at: Math.min(after.ts, Math.max(before.ts + 1, at)),
    longitude: x1 + (x2 - x1) * share,
    latitude: y1 + (y2 - y1) * share,
  };
}

function crossing(
  { geofence, assignment }: Evaluation,
  direction: Direction,
  method: Method,
  before: Fix | null,
  after: Fix,
  point: Point,
): Crossing {
  return {
    device: assignment.device,
    geofence: geofence.id,
    subject: assignment.subject,
    direction,
    at: point.at,
    beforeTs: before === null ? null : before.ts,
    afterTs: after.ts,
    method,
    latitude: rounded(point.latitude),
    longitude: rounded(wrapped(point.longitude)),
  };
}

const TRACKER_DEGREES = 1e7;

function rounded(degrees: number): number {
  // Adding 0 turns -0 into 0: the two must not give two identities.
  return Math.round(degrees * TRACKER_DEGREES) / TRACKER_DEGREES + 0;
}

function wrapped(longitude: number): number {
  if (longitude > 180) return longitude - 360;
  return longitude < -180 ? longitude + 360 : longitude;
}
