import type { Geometry, Position } from './geojson.ts';
import { type Plane, planeAt, segmentDistance2, unwrap } from './plane.ts';

/**
 * A geofence's shape, packed: degrees in one array, so that edges which two shapes share are the same
 * numbers in both and a point on them is in exactly one.
 */
export interface Shape {
  readonly kind: Geometry['kind'];
  readonly plane: Plane;
  /** Longitude, latitude, longitude, latitude …, longitudes unwrapped around the plane's. */
  readonly coordinates: Float64Array;
  /** End of each ring in `coordinates`; a line counts as one ring, a centre too. */
  readonly ringEnds: readonly number[];
  /** End of each polygon in `ringEnds`. */
  readonly partEnds: readonly number[];
  /** 0 for polygons. */
  readonly radiusM: number;
}

/** West, south, east, north in degrees; east may be beyond 180 and west beyond -180. */
export type Box = readonly [west: number, south: number, east: number, north: number];

const oneRing: readonly number[] = [1];

export function packShape(geometry: Geometry): Shape {
  const rings = ringsOf(geometry);
  const [[firstLongitude] = [0]] = rings.flat(1);
  const coordinates = packRings(rings, firstLongitude);
  const [west, south, east, north] = boundsOf(coordinates);
  let end = 0;
  const ringEnds = rings.map((ring) => {
    end += 2 * ring.length;
    return end;
  });
  return {
    kind: geometry.kind,
    plane: planeAt((west + east) / 2, (south + north) / 2),
    coordinates,
    ringEnds,
    partEnds: geometry.kind === 'polygons' ? partEndsOf(geometry.parts) : oneRing,
    radiusM: geometry.kind === 'polygons' ? 0 : geometry.radiusM,
  };
}

function ringsOf(geometry: Geometry): readonly (readonly Position[])[] {
  switch (geometry.kind) {
    case 'polygons':
      return geometry.parts.flat(1);
    case 'circle':
      return [[geometry.centre]];
    case 'corridor':
      return [geometry.line];
  }
}

function partEndsOf(parts: readonly (readonly unknown[])[]): readonly number[] {
  if (parts.length === 1 && parts[0]?.length === 1) return oneRing;
  let end = 0;
  return parts.map((rings) => {
    end += rings.length;
    return end;
  });
}

/** Each position within half a turn of the one before it: an edge never goes the long way round. */
function packRings(rings: readonly (readonly Position[])[], near: number): Float64Array {
  const coordinates = new Float64Array(2 * rings.reduce((sum, ring) => sum + ring.length, 0));
  let at = 0;
  for (const ring of rings) {
    let previous = near;
    for (const [longitude, latitude] of ring) {
      previous = unwrap(longitude, previous);
      coordinates[at] = previous;
      coordinates[at + 1] = latitude;
      at += 2;
    }
  }
  return coordinates;
}

/** The box of the bare coordinates, without radius or margin. */
export function boundsOf(coordinates: Float64Array): Box {
  let [west, south, east, north] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let at = 0; at < coordinates.length; at += 2) {
    const longitude = coordinates[at] ?? 0;
    const latitude = coordinates[at + 1] ?? 0;
    if (longitude < west) west = longitude;
    if (longitude > east) east = longitude;
    if (latitude < south) south = latitude;
    if (latitude > north) north = latitude;
  }
  return [west, south, east, north];
}

/**
 * Metres from a point to the shape, 0 inside or on a circle's or corridor's edge. `longitude` must be
 * unwrapped around the shape's plane.
 */
export function distanceM(shape: Shape, longitude: number, latitude: number): number {
  if (shape.kind !== 'polygons') {
    return Math.max(0, Math.sqrt(nearest2(shape, longitude, latitude)) - shape.radiusM);
  }
  if (isInPolygons(shape, longitude, latitude)) return 0;
  // Outside by however little: only the half-open edges decide what is inside.
  return Math.max(Number.MIN_VALUE, Math.sqrt(nearest2(shape, longitude, latitude)));
}

/** Whether the point is inside; cheaper than a distance. */
export function isInside(shape: Shape, longitude: number, latitude: number): boolean {
  if (shape.kind === 'polygons') return isInPolygons(shape, longitude, latitude);
  return nearest2(shape, longitude, latitude) <= shape.radiusM * shape.radiusM;
}

/** Squared metres to the nearest edge, line or centre. */
function nearest2(shape: Shape, x: number, y: number): number {
  const { coordinates: c, ringEnds, plane } = shape;
  let nearest = Infinity;
  let at = 0;
  for (const end of ringEnds) {
    // A centre is a segment of no length.
    const last = Math.max(at + 2, end - 2);
    for (; at < last; at += 2) {
      const next = Math.min(at + 2, end - 2);
      const distance2 = segmentDistance2(
        plane,
        x,
        y,
        c[at] ?? 0,
        c[at + 1] ?? 0,
        c[next] ?? 0,
        c[next + 1] ?? 0,
      );
      if (distance2 < nearest) nearest = distance2;
    }
    at = end;
  }
  return nearest;
}

function isInPolygons(
  { coordinates: c, ringEnds, partEnds }: Shape,
  x: number,
  y: number,
): boolean {
  let ring = 0;
  let at = 0;
  for (const partEnd of partEnds) {
    let inside = false;
    for (; ring < partEnd; ring += 1) {
      const end = ringEnds[ring] ?? 0;
      if (isOddRing(c, at, end, x, y)) inside = !inside;
      at = end;
    }
    if (inside) return true;
  }
  return false;
}

/** Even-odd and half open: of two shapes with a common edge, a point on it is in one. */
function isOddRing(c: Float64Array, start: number, end: number, x: number, y: number): boolean {
  let odd = false;
  for (let at = start; at + 3 < end; at += 2) {
    const y1 = c[at + 1] ?? 0;
    const y2 = c[at + 3] ?? 0;
    if (y1 > y === y2 > y) continue;
    const x1 = c[at] ?? 0;
    const x2 = c[at + 2] ?? 0;
    if (x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) odd = !odd;
  }
  return odd;
}
