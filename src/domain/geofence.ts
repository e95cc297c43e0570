import { type Geometry, type Refused, readGeometry, refuse } from './geojson.ts';
import type { Hop } from './hop.ts';
import { unwrap } from './plane.ts';
import { ringsIntersect } from './ring-check.ts';
import { type Box, boundsOf, distanceM, isInside, packShape, type Shape } from './shape.ts';
import type { Fix, GeofenceId, Validity } from './types.ts';

/** One geofence, ready to be evaluated. */
export interface Geofence extends Validity {
  readonly id: GeofenceId;
  /** Only assignments of the same scope are evaluated; null: all are. */
  readonly scope: string | null;
  readonly shape: Shape;
  /** A device that is inside leaves only farther out than this, in metres: against flapping. */
  readonly marginM: number;
  /** Of the shape with radius and margin. */
  readonly box: Box;
}

/** A row of the view `geofences_v1`. */
export interface GeofenceRow extends Validity {
  readonly id: GeofenceId;
  readonly scope: string | null;
  /** GeoJSON, already parsed. */
  readonly shape: unknown;
  readonly radiusM: number | null;
  readonly marginM: number | null;
}

export interface GeofenceLimits {
  readonly maxVertices: number;
}

const MAX_MARGIN_M = 100_000;
/** A shape as wide as half the world cannot be distinguished from its complement. */
const MAX_WIDTH = 180;

export type GeofenceReading =
  | { readonly ok: true; readonly geofence: Geofence; readonly vertices: number }
  | Refused;

/** A geofence from its row, or the reason why it is refused; the others go on without it. */
export function readGeofence(row: GeofenceRow, limits: GeofenceLimits): GeofenceReading {
  const marginM = row.marginM ?? 0;
  if (!(marginM >= 0 && marginM <= MAX_MARGIN_M)) return refuse('margin_invalid');
  if (!(row.from < row.to)) return refuse('validity_invalid');
  const read = readGeometry(row.shape, row.radiusM);
  if (!read.ok) return read;
  const vertices = countVertices(read.geometry);
  if (vertices > limits.maxVertices) return refuse('too_many_vertices');
  const shape = packShape(read.geometry);
  const box = growBox(shape, marginM);
  if (box[2] - box[0] >= MAX_WIDTH) return refuse('too_wide');
  if (shape.kind === 'polygons' && ringsIntersect(shape)) return refuse('self_intersecting');
  const { id, scope, from, to } = row;
  return { ok: true, vertices, geofence: { id, scope, from, to, shape, marginM, box } };
}

function countVertices(geometry: Geometry): number {
  switch (geometry.kind) {
    case 'polygons':
      return geometry.parts.flat(1).reduce((sum, ring) => sum + ring.length, 0);
    case 'circle':
      return 1;
    case 'corridor':
      return geometry.line.length;
  }
}

function growBox(shape: Shape, marginM: number): Box {
  const [west, south, east, north] = boundsOf(shape.coordinates);
  const growM = shape.radiusM + marginM;
  const { metresPerLongitude, metresPerLatitude } = shape.plane;
  const [dx, dy] = [growM / metresPerLongitude, growM / metresPerLatitude];
  return [west - dx, south - dy, east + dx, north + dy];
}

/** Where a fix stands: inside the shape, in the margin around it, or outside of both. */
export type Standing = 'inside' | 'margin' | 'outside';

export function standingOf({ shape, marginM }: Geofence, { longitude, latitude }: Fix): Standing {
  const x = unwrap(longitude, shape.plane.longitude);
  if (isInside(shape, x, latitude)) return 'inside';
  if (marginM === 0) return 'outside';
  return distanceM(shape, x, latitude) <= marginM ? 'margin' : 'outside';
}

/** The straight movement between two fixes, as the geofence's shape sees it. */
export function hopBetween({ shape }: Geofence, before: Fix, after: Fix): Hop {
  const near = shape.plane.longitude;
  return {
    x1: unwrap(before.longitude, near),
    y1: before.latitude,
    x2: unwrap(after.longitude, near),
    y2: after.latitude,
  };
}

/** Whether the hop lies beside the geofence's box; cheaper than its shape, and true for most hops. */
export function isBeside({ box: [west, south, east, north] }: Geofence, hop: Hop): boolean {
  const { x1, y1, x2, y2 } = hop;
  return (
    (x1 < west && x2 < west) ||
    (x1 > east && x2 > east) ||
    (y1 < south && y2 < south) ||
    (y1 > north && y2 > north)
  );
}
