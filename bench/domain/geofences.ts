import { createRandom, type Random } from '../../src/simulator/random.ts';

/** Corners of a generated geofence, as the design's target has it. */
const corners = 32;
/** A country: longitudes and latitudes of centres, degrees. */
export const country = { west: 20, east: 26, south: 53, north: 57 } as const;
/** Radii are spread evenly in their logarithm, degrees of latitude: 110 m to 2.2 km. */
const leastRadius = 0.001;
const radiusSpread = 20;

export type GeoJsonPolygon = { readonly type: 'Polygon'; readonly coordinates: number[][][] };

/** Polygons of 32 corners over a country, the same for the same seed. */
export function* geofenceShapes(count: number, seed = 1): Generator<GeoJsonPolygon> {
  const random = createRandom(seed);
  for (let made = 0; made < count; made += 1) {
    const longitude = random.between(country.west, country.east);
    const latitude = random.between(country.south, country.north);
    yield { type: 'Polygon', coordinates: [ringAround(longitude, latitude, random)] };
  }
}

function ringAround(longitude: number, latitude: number, random: Random): number[][] {
  const radius = leastRadius * radiusSpread ** random.next();
  const ring: number[][] = [];
  for (let corner = 0; corner < corners - 1; corner += 1) {
    const angle = (corner / (corners - 1)) * 2 * Math.PI;
    const distance = radius * random.between(0.6, 1);
    ring.push([
      longitude + 1.7 * distance * Math.cos(angle),
      latitude + distance * Math.sin(angle),
    ]);
  }
  const [first] = ring;
  if (first !== undefined) ring.push([...first]);
  return ring;
}
