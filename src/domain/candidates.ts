import { type Evaluation, evaluationsOf } from './evaluation.ts';
import type { Geofence } from './geofence.ts';
import type { GeofenceIndex } from './geofence-index.ts';
import type { Assignment, GeofenceId } from './types.ts';
import { boxOf, type Window } from './window.ts';

/**
 * The evaluations that may have a crossing in a window: of geofences near its fixes, and of those that
 * stored crossings name.
 * @param assignments of the device, merged
 * @param touched geofences with a live crossing in the window; where the window has no previous fix,
 * also those that the device is inside of before it, which may be anywhere
 */
export function candidatesOf(
  window: Window,
  index: GeofenceIndex,
  assignments: readonly Assignment[],
  touched: Iterable<GeofenceId>,
): Evaluation[] {
  const box = boxOf(window);
  const geofences = new Set<Geofence>(box === null ? [] : index.near(box));
  for (const id of touched) {
    const geofence = index.byId(id);
    if (geofence !== undefined) geofences.add(geofence);
  }
  return [...geofences].flatMap((geofence) => evaluationsOf(geofence, assignments));
}
