import Flatbush from 'flatbush';
import type { Geofence } from './geofence.ts';
import type { Box } from './shape.ts';
import type { GeofenceId } from './types.ts';

/** Finds geofences by place. */
export interface GeofenceIndex {
  readonly all: readonly Geofence[];
  byId(id: GeofenceId): Geofence | undefined;
  /** Geofences whose box meets this one; each once. */
  near(box: Box): readonly Geofence[];
}

/** A box and its copies a turn away: what lies across ±180° is found from both sides. */
function copiesOf([west, south, east, north]: Box): Box[] {
  return [-360, 0, 360]
    .map((turn): Box => [west + turn, south, east + turn, north])
    .filter(([w, , e]) => e >= -180 && w <= 180);
}

export function indexGeofences(all: readonly Geofence[]): GeofenceIndex {
  const boxes = all.flatMap((geofence, position) =>
    copiesOf(geofence.box).map((box) => ({ box, position })),
  );
  const index = boxes.length === 0 ? null : new Flatbush(boxes.length);
  for (const { box } of boxes) index?.add(...box);
  index?.finish();
  const positions = Uint32Array.from(boxes, ({ position }) => position);
  const ids = new Map(all.map((geofence) => [geofence.id, geofence]));
  return {
    all,
    byId: (id) => ids.get(id),
    near(box) {
      if (index === null) return [];
      const found = new Set<number>();
      for (const copy of copiesOf(box)) {
        for (const at of index.search(...copy)) found.add(positions[at] ?? 0);
      }
      return [...found].flatMap((position) => all[position] ?? []);
    },
  };
}
