import fc from 'fast-check';
import type { GeofenceRow } from '../../src/domain/geofence.ts';
import type { Assignment, DeviceKey, Fix, GeofenceId, SubjectKey } from '../../src/domain/types.ts';

/** In the form that the contract's views give. */
export const geofenceId = (text: string) => text as GeofenceId;
export const deviceKey = (text: string) => text as DeviceKey;
export const subjectKey = (text: string) => text as SubjectKey;

const METRES_PER_DEGREE = 111_195;

/** A place that drives are drawn around. */
export interface Origin {
  readonly longitude: number;
  readonly latitude: number;
}

export const origins: readonly Origin[] = [
  { longitude: 25, latitude: 54 },
  { longitude: 179.999, latitude: -17 },
  { longitude: -179.999, latitude: 12 },
  { longitude: 20, latitude: 69 },
];

/** Degrees of a place so many metres east and north of the origin, longitude within ±180. */
export function placeAt({ longitude, latitude }: Origin, east: number, north: number) {
  const degrees = east / METRES_PER_DEGREE / Math.cos((latitude * Math.PI) / 180);
  const turned = longitude + degrees;
  return {
    longitude: turned > 180 ? turned - 360 : turned < -180 ? turned + 360 : turned,
    latitude: latitude + north / METRES_PER_DEGREE,
  };
}

export function positionAt(origin: Origin, east: number, north: number): [number, number] {
  const { longitude, latitude } = placeAt(origin, east, north);
  return [longitude, latitude];
}

/** A ring around a centre, its corners at angles in order: never self-intersecting. */
function ring(origin: Origin, east: number, north: number, radii: readonly number[]) {
  const corners = radii.map((radius, index) => {
    const angle = (index / radii.length) * 2 * Math.PI;
    return positionAt(origin, east + radius * Math.cos(angle), north + radius * Math.sin(angle));
  });
  return [...corners, corners[0]];
}

const metres = fc.integer({ min: -200, max: 200 });
const radii = fc.array(fc.integer({ min: 20, max: 120 }), { minLength: 3, maxLength: 7 });

interface Drawn {
  readonly shape: unknown;
  readonly radiusM: number | null;
}

function drawn(origin: Origin): fc.Arbitrary<Drawn> {
  const circle = fc
    .tuple(metres, metres, fc.integer({ min: 10, max: 120 }))
    .map(([east, north, radiusM]) => ({
      shape: { type: 'Point', coordinates: positionAt(origin, east, north) },
      radiusM,
    }));
  const corridor = fc
    .tuple(
      fc.array(fc.tuple(metres, metres), { minLength: 2, maxLength: 4 }),
      fc.integer({ min: 5, max: 40 }),
    )
    .map(([line, radiusM]) => ({
      shape: {
        type: 'LineString',
        coordinates: line.map(([east, north]) => positionAt(origin, east, north)),
      },
      radiusM,
    }));
  const polygon = fc
    .tuple(metres, metres, radii, fc.boolean())
    .map(([east, north, rs, hasHole]) => ({
      shape: {
        type: 'Polygon',
        coordinates: [
          ring(origin, east, north, rs),
          ...(hasHole ? [ring(origin, east, north, [4, 4, 4])] : []),
        ],
      },
      radiusM: null,
    }));
  const multi = fc.tuple(metres, metres, radii).map(([east, north, rs]) => ({
    shape: {
      type: 'MultiPolygon',
      coordinates: [
        [ring(origin, east, north, rs)],
        [ring(origin, east + 300, north, [20, 25, 30])],
      ],
    },
    radiusM: null,
  }));
  return fc.oneof(circle, corridor, polygon, multi);
}

/** Times in steps of seconds, as a drive has them. */
export const firstTs = 1_000;
const validity = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ from: -Infinity, to: Infinity }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 0, max: 300 }), fc.option(fc.integer({ min: 1, max: 300 })))
      .map(([from, length]) => ({
        from: from * 1000,
        to: length === null ? Infinity : (from + length) * 1000,
      })),
  },
);

export function geofenceRow(origin: Origin, id: string): fc.Arbitrary<GeofenceRow> {
  return fc
    .tuple(
      drawn(origin),
      fc.constantFrom(null, 0, 15, 40),
      validity,
      fc.constantFrom(null, null, 'a'),
    )
    .map(([{ shape, radiusM }, marginM, { from, to }, scope]) => {
      return { id: geofenceId(id), scope, shape, radiusM, marginM, from, to };
    });
}

export const device = deviceKey('device-1');

export const assignmentLists: fc.Arbitrary<readonly Assignment[]> = fc
  .array(
    fc.tuple(validity, fc.constantFrom('car', 'van', null), fc.constantFrom('a', 'a', 'b', null)),
    { minLength: 1, maxLength: 3 },
  )
  .map((list) =>
    list.map(([{ from, to }, subject, scope]) => {
      return {
        device,
        subject: subject === null ? null : subjectKey(subject),
        scope,
        from,
        to,
      };
    }),
  );

/** Fast, slow and parked, with jitter and gaps. */
export function drive(origin: Origin, maxFixes: number): fc.Arbitrary<readonly Fix[]> {
  const move = fc.record({
    seconds: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 1, max: 20 }) },
      { weight: 1, arbitrary: fc.constantFrom(121, 200, 900, 4_000) },
    ),
    east: fc.integer({ min: -90, max: 90 }),
    north: fc.integer({ min: -90, max: 90 }),
  });
  const start = fc.tuple(metres, metres);
  return fc.tuple(start, fc.array(move, { maxLength: maxFixes })).map(([[east, north], moves]) => {
    const fixes: Fix[] = [];
    let [x, y, ts] = [east, north, firstTs];
    for (const step of moves) {
      [x, y, ts] = [x + step.east, y + step.north, ts + step.seconds * 1000];
      fixes.push({ ts, ...placeAt(origin, x, y) });
    }
    return fixes;
  });
}
