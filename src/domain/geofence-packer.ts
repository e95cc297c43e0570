import type { Geofence } from './geofence.ts';

/** Numbers in one buffer: 512 kB. A shape with more than that many has a buffer of its own. */
const SLAB = 65_536;

/**
 * Returns a function that copies the coordinates of many geofences into few buffers, and gives equal
 * rings one list of ends. A buffer for each shape takes 300 bytes more than its numbers.
 */
export function geofencePacker(): (geofence: Geofence) => Geofence {
  let slab = new Float64Array(0);
  let used = 0;
  const oneRing = new Map<number, readonly number[]>();

  function copy(coordinates: Float64Array): Float64Array {
    if (coordinates.length > SLAB) return coordinates;
    if (used + coordinates.length > slab.length) {
      slab = new Float64Array(SLAB);
      used = 0;
    }
    const packed = slab.subarray(used, used + coordinates.length);
    packed.set(coordinates);
    used += coordinates.length;
    return packed;
  }

  function shareEnds(ends: readonly number[]): readonly number[] {
    const [only] = ends;
    if (ends.length !== 1 || only === undefined) return ends;
    const shared = oneRing.get(only);
    if (shared !== undefined) return shared;
    oneRing.set(only, ends);
    return ends;
  }

  return (geofence) => {
    const { shape } = geofence;
    const coordinates = copy(shape.coordinates);
    return { ...geofence, shape: { ...shape, coordinates, ringEnds: shareEnds(shape.ringEnds) } };
  };
}
