/** A GeoJSON geometry from the owner's table to plain rings, or the reason why it is refused. */

export const refusals = [
  'not_geojson',
  'type_unsupported',
  'radius_missing',
  'radius_invalid',
  'margin_invalid',
  'position_invalid',
  'out_of_range',
  'ring_unclosed',
  'ring_too_short',
  'self_intersecting',
  'too_wide',
  'too_many_vertices',
  'validity_invalid',
] as const;
/** The closed list of reasons why a geofence is refused. */
export type Refusal = (typeof refusals)[number];

export type Position = readonly [longitude: number, latitude: number];

/** The supported kinds, their positions checked one by one. */
export type Geometry =
  | { readonly kind: 'polygons'; readonly parts: readonly (readonly (readonly Position[])[])[] }
  | { readonly kind: 'circle'; readonly centre: Position; readonly radiusM: number }
  | { readonly kind: 'corridor'; readonly line: readonly Position[]; readonly radiusM: number };

export type GeometryReading = { readonly ok: true; readonly geometry: Geometry } | Refused;

export interface Refused {
  readonly ok: false;
  readonly refusal: Refusal;
}

/** Directus lets any number in; a map that wraps around the world sends up to one turn more. */
const MAX_LONGITUDE = 360;
/** Nearer to the poles a degree of longitude is too short for distances in a plane. */
const MAX_LATITUDE = 89;
const MIN_RING = 4;
/** Larger radii would make a plane's distances meaningless. */
const MAX_RADIUS_M = 1_000_000;

export function refuse(refusal: Refusal): Refused {
  return { ok: false, refusal };
}

/**
 * Reads Polygon, MultiPolygon (holes too), Point with a radius, and LineString with a radius (a
 * corridor), RFC 7946. A third coordinate is ignored; nothing else is forgiven.
 */
export function readGeometry(json: unknown, radiusM: number | null): GeometryReading {
  if (!isObject(json) || typeof json.type !== 'string') return refuse('not_geojson');
  const { type, coordinates } = json;
  switch (type) {
    case 'Polygon':
      return readPolygons([coordinates]);
    case 'MultiPolygon':
      return Array.isArray(coordinates) ? readPolygons(coordinates) : refuse('not_geojson');
    case 'Point':
      return readCircle(coordinates, radiusM);
    case 'LineString':
      return readCorridor(coordinates, radiusM);
    default:
      return refuse('type_unsupported');
  }
}

function readPolygons(polygons: readonly unknown[]): GeometryReading {
  if (polygons.length === 0) return refuse('ring_too_short');
  const parts: Position[][][] = [];
  for (const polygon of polygons) {
    if (!Array.isArray(polygon) || polygon.length === 0) return refuse('not_geojson');
    const rings: Position[][] = [];
    for (const ring of polygon) {
      const read = readRing(ring);
      if (!Array.isArray(read)) return read;
      rings.push(read);
    }
    parts.push(rings);
  }
  return { ok: true, geometry: { kind: 'polygons', parts } };
}

function readRing(json: unknown): Position[] | Refused {
  const ring = readPositions(json);
  if (!Array.isArray(ring)) return ring;
  const first = ring[0];
  const last = ring.at(-1);
  if (first === undefined || last === undefined || ring.length < MIN_RING) {
    return refuse('ring_too_short');
  }
  return first[0] === last[0] && first[1] === last[1] ? ring : refuse('ring_unclosed');
}

function readCircle(json: unknown, radiusM: number | null): GeometryReading {
  const radius = readRadius(radiusM);
  if (typeof radius !== 'number') return radius;
  const centre = readPosition(json);
  if ('ok' in centre) return centre;
  return { ok: true, geometry: { kind: 'circle', centre, radiusM: radius } };
}

function readCorridor(json: unknown, radiusM: number | null): GeometryReading {
  const radius = readRadius(radiusM);
  if (typeof radius !== 'number') return radius;
  const line = readPositions(json);
  if (!Array.isArray(line)) return line;
  if (line.length < 2) return refuse('ring_too_short');
  return { ok: true, geometry: { kind: 'corridor', line, radiusM: radius } };
}

function readRadius(radiusM: number | null): number | Refused {
  if (radiusM === null) return refuse('radius_missing');
  return radiusM > 0 && radiusM <= MAX_RADIUS_M ? radiusM : refuse('radius_invalid');
}

function readPositions(json: unknown): Position[] | Refused {
  if (!Array.isArray(json)) return refuse('not_geojson');
  const positions: Position[] = [];
  for (const one of json) {
    const position = readPosition(one);
    if ('ok' in position) return position;
    positions.push(position);
  }
  return positions;
}

function readPosition(json: unknown): Position | Refused {
  if (!Array.isArray(json)) return refuse('position_invalid');
  const [longitude, latitude]: unknown[] = json;
  if (typeof longitude !== 'number' || typeof latitude !== 'number') {
    return refuse('position_invalid');
  }
  // Compared in this sense, NaN is out of range too.
  const isInRange = Math.abs(longitude) <= MAX_LONGITUDE && Math.abs(latitude) <= MAX_LATITUDE;
  return isInRange ? [longitude, latitude] : refuse('out_of_range');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
