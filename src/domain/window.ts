import { unwrap } from './plane.ts';
import type { Box } from './shape.ts';
import type { Fix } from './types.ts';

/**
 * What is read of one device to compute a range again: the hops that the range touches. Crossings of
 * other hops cannot change, but where the state at its end does.
 */
export interface Window {
  /** The last usable fix before the range; null where none was found. */
  readonly previous: Fix | null;
  /** Usable fixes of the range and the first one after it, oldest first. */
  readonly fixes: readonly Fix[];
  /** Crossings with `afterTs` in (from, to] are of this window's hops. */
  readonly from: number;
  readonly to: number;
}

/**
 * @param since start of the range
 * @param until end of the range, both inclusive
 * @param previous the last usable fix before `since`; null where none was found within the silence
 * @param fixes usable fixes of the range and the first one after it, oldest first
 */
export function windowOf(
  since: number,
  until: number,
  previous: Fix | null,
  fixes: readonly Fix[],
): Window {
  const last = fixes.at(-1);
  // Without a fix after the range, nothing that a stored crossing names is there any more.
  const to = last === undefined || last.ts <= until ? Infinity : last.ts;
  return { previous, fixes, from: previous === null ? since - 1 : previous.ts, to };
}

/** The box of a window's fixes; null where it has none. Its west may be beyond -180, its east 180. */
export function boxOf({ previous, fixes }: Pick<Window, 'previous' | 'fixes'>): Box | null {
  const [first] = fixes;
  if (first === undefined) return null;
  let [west, south, east, north] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { longitude, latitude } of previous === null ? fixes : [previous, ...fixes]) {
    const x = unwrap(longitude, first.longitude);
    west = Math.min(west, x);
    east = Math.max(east, x);
    south = Math.min(south, latitude);
    north = Math.max(north, latitude);
  }
  return [west, south, east, north];
}
