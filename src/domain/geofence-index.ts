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
function copiesOf(box: Box): Box[] {
  const [west, south, east, north] = box;
  if (west > -180 && east < 180) return [box];
  return [-360, 0, 360]
    .map((turn): Box => [west + turn, south, east + turn, north])
    .filter(([w, , e]) => e >= -180 && w <= 180);
}

export function indexGeofences(all: readonly Geofence[]): GeofenceIndex {
  const building = indexInParts(all);
  for (;;) {
    const { done, value } = building.next();
    if (done === true) return value;
  }
}

/** Geofences of one part. Sorting a part takes a few milliseconds, during which nothing else runs. */
const PART = 25_000;
/** Geofences that are added before others can run. */
const STEP = 2500;

/** Yields after each few milliseconds of work, so that the caller can let others run. */
export function* indexInParts(all: readonly Geofence[]): Generator<void, GeofenceIndex> {
  const ids = new Map<GeofenceId, Geofence>();
  for (const [position, geofence] of all.entries()) {
    ids.set(geofence.id, geofence);
    if (position % STEP === STEP - 1) yield;
  }
  const parts: Part[] = [];
  for (let start = 0; start < all.length; start += PART) {
    parts.push(yield* indexPart(all.slice(start, start + PART)));
    yield;
  }
  return {
    all,
    byId: (id) => ids.get(id),
    near(box) {
      const copies = copiesOf(box);
      const [only] = parts;
      if (parts.length === 1 && only !== undefined) return only(copies);
      return parts.flatMap((part) => part(copies));
    },
  };
}

type Part = (copies: readonly Box[]) => Geofence[];

function* indexPart(part: readonly Geofence[]): Generator<void, Part> {
  const boxes: Box[] = [];
  const owners: number[] = [];
  for (const [position, geofence] of part.entries()) {
    for (const box of copiesOf(geofence.box)) {
      boxes.push(box);
      owners.push(position);
    }
    if (position % STEP === STEP - 1) yield;
  }
  const index = new Flatbush(boxes.length);
  for (const box of boxes) index.add(...box);
  yield;
  index.finish();
  const positions = Uint32Array.from(owners);
  return (copies) => {
    const found = new Set<number>();
    for (const copy of copies) {
      for (const at of index.search(...copy)) found.add(positions[at] ?? 0);
    }
    return Array.from(found, (position) => part[position]).filter((one) => one !== undefined);
  };
}
