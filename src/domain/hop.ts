import type { Shape } from './shape.ts';
import { distanceM, isInside } from './shape.ts';

/** A straight movement between two fixes, in degrees unwrapped around a shape's plane. */
export interface Hop {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/** Halvings of the hop: far below a millisecond whatever its length. */
const BISECTIONS = 40;

/**
 * The share of the hop, 0 to 1, at which `isBeyond` changes from false to true between `low` and
 * `high`; it must be false at `low` and true at `high`.
 */
function bisect(low: number, high: number, isBeyond: (share: number) => boolean): number {
  let [before, after] = [low, high];
  for (let turn = 0; turn < BISECTIONS; turn += 1) {
    const middle = (before + after) / 2;
    if (isBeyond(middle)) after = middle;
    else before = middle;
  }
  return after;
}

/** Where the hop comes in, given that it is outside at its start and inside at share `until`. */
export function entryShare(shape: Shape, { x1, y1, x2, y2 }: Hop, until = 1): number {
  return bisect(0, until, (share) =>
    isInside(shape, x1 + (x2 - x1) * share, y1 + (y2 - y1) * share),
  );
}

/** Where the hop goes farther from the shape than the margin, after share `since`. */
export function exitShare(
  shape: Shape,
  marginM: number,
  { x1, y1, x2, y2 }: Hop,
  since = 0,
): number {
  return bisect(
    since,
    1,
    (share) => distanceM(shape, x1 + (x2 - x1) * share, y1 + (y2 - y1) * share) > marginM,
  );
}

/** A share at which a hop with both ends outside is inside the shape, or null: it passes by. */
export function insideShare(shape: Shape, hop: Hop): number | null {
  return shape.kind === 'polygons' ? polygonShare(shape, hop) : roundShare(shape, hop);
}

/**
 * The middle of the first stretch between two edges that lies inside. The ends of the hop bound a
 * stretch too: a fix exactly on an edge counts as outside, and is no cut.
 */
function polygonShare(shape: Shape, hop: Hop): number | null {
  const cuts = [0, ...edgeCuts(shape, hop), 1];
  for (let index = 0; index + 1 < cuts.length; index += 1) {
    const middle = ((cuts[index] ?? 0) + (cuts[index + 1] ?? 0)) / 2;
    const { x1, y1, x2, y2 } = hop;
    if (isInside(shape, x1 + (x2 - x1) * middle, y1 + (y2 - y1) * middle)) return middle;
  }
  return null;
}

/** Shares at which the hop meets an edge, ascending. */
function edgeCuts({ coordinates: c, ringEnds }: Shape, { x1, y1, x2, y2 }: Hop): number[] {
  const cuts: number[] = [];
  const [dx, dy] = [x2 - x1, y2 - y1];
  let at = 0;
  for (const end of ringEnds) {
    for (; at + 3 < end; at += 2) {
      const [ax, ay] = [c[at] ?? 0, c[at + 1] ?? 0];
      const [ex, ey] = [(c[at + 2] ?? 0) - ax, (c[at + 3] ?? 0) - ay];
      const across = dx * ey - dy * ex;
      if (across === 0) continue;
      const share = ((ax - x1) * ey - (ay - y1) * ex) / across;
      const along = ((ax - x1) * dy - (ay - y1) * dx) / across;
      if (share > 0 && share < 1 && along >= 0 && along < 1) cuts.push(share);
    }
    at = end;
  }
  return cuts.sort((a, b) => a - b);
}

/** For circles and corridors: the share at which the hop is nearest to the centre or line. */
function roundShare(shape: Shape, hop: Hop): number | null {
  const { coordinates: c, plane, radiusM } = shape;
  const [kx, ky] = [plane.metresPerLongitude, plane.metresPerLatitude];
  let [best, bestShare] = [Infinity, 0];
  for (let at = 0; at === 0 || at + 3 < c.length; at += 2) {
    const next = Math.min(at + 2, c.length - 2);
    const { share, distance2 } = nearestShare(
      (hop.x1 - (c[at] ?? 0)) * kx,
      (hop.y1 - (c[at + 1] ?? 0)) * ky,
      (hop.x2 - hop.x1) * kx,
      (hop.y2 - hop.y1) * ky,
      ((c[next] ?? 0) - (c[at] ?? 0)) * kx,
      ((c[next + 1] ?? 0) - (c[at + 1] ?? 0)) * ky,
    );
    if (distance2 < best) [best, bestShare] = [distance2, share];
  }
  return best <= radiusM * radiusM && bestShare > 0 && bestShare < 1 ? bestShare : null;
}

/**
 * The nearest approach of a hop (from `px, py` by `dx, dy`) to a segment from the origin by `ex, ey`,
 * in metres: either where they cross, or at an end of one of the two.
 */
function nearestShare(
  px: number,
  py: number,
  dx: number,
  dy: number,
  ex: number,
  ey: number,
): { share: number; distance2: number } {
  const across = dx * ey - dy * ex;
  if (across !== 0) {
    const share = (-px * ey + py * ex) / across;
    const along = (-px * dy + py * dx) / across;
    if (share >= 0 && share <= 1 && along >= 0 && along <= 1) return { share, distance2: 0 };
  }
  const shares = [project(-px, -py, dx, dy), project(ex - px, ey - py, dx, dy), 0, 1];
  let found = { share: 0, distance2: Infinity };
  for (const share of shares) {
    const [x, y] = [px + dx * share, py + dy * share];
    const along = project(x, y, ex, ey);
    const distance2 = (x - ex * along) ** 2 + (y - ey * along) ** 2;
    if (distance2 < found.distance2) found = { share, distance2 };
  }
  return found;
}

/** The share of a vector at which it is nearest to a point, 0 to 1. */
function project(x: number, y: number, dx: number, dy: number): number {
  const length2 = dx * dx + dy * dy;
  return length2 === 0 ? 0 : Math.min(1, Math.max(0, (x * dx + y * dy) / length2));
}
