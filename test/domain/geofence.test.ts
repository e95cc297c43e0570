import { describe, expect, test } from 'vitest';
import {
  type Geofence,
  type GeofenceRow,
  readGeofence,
  standingOf,
} from '../../src/domain/geofence.ts';
import { refusals } from '../../src/domain/geojson.ts';
import { geofenceId } from './places.ts';

const limits = { maxVertices: 1000 };
const square = [
  [0, 0],
  [1, 0],
  [1, 1],
  [0, 1],
  [0, 0],
];
const polygon = (...coordinates: unknown[]) => ({ type: 'Polygon', coordinates });

function row(shape: unknown, change: Partial<GeofenceRow> = {}): GeofenceRow {
  const always = { from: -Infinity, to: Infinity };
  return {
    id: geofenceId('f'),
    scope: null,
    shape,
    radiusM: null,
    marginM: null,
    ...always,
    ...change,
  };
}

function refusalOf(shape: unknown, change: Partial<GeofenceRow> = {}): string {
  const read = readGeofence(row(shape, change), limits);
  return read.ok ? 'taken' : read.refusal;
}

function geofence(shape: unknown, change: Partial<GeofenceRow> = {}): Geofence {
  const read = readGeofence(row(shape, change), limits);
  if (!read.ok) throw new Error(`refused: ${read.refusal}`);
  return read.geofence;
}

const at = (longitude: number, latitude: number) => ({ ts: 0, longitude, latitude });

const circle = { type: 'Point', coordinates: [25, 54] };
const line = {
  type: 'LineString',
  coordinates: [
    [25, 54],
    [26, 54],
  ],
};
const zigzag = Array.from({ length: 1000 }, (_, index) => [index / 1000, (index % 2) / 10]);

describe('a geofence is refused', () => {
  const cases: readonly (readonly [
    reason: string,
    shape: unknown,
    change?: Partial<GeofenceRow>,
  ])[] = [
    ['not_geojson', null],
    ['not_geojson', 'POLYGON((0 0))'],
    ['not_geojson', { type: 'Polygon', coordinates: [5] }],
    ['not_geojson', { type: 'MultiPolygon' }],
    ['type_unsupported', { type: 'MultiPoint', coordinates: [[0, 0]] }],
    ['type_unsupported', { type: 'GeometryCollection', geometries: [] }],
    ['radius_missing', circle],
    ['radius_missing', line],
    ['radius_invalid', circle, { radiusM: 0 }],
    ['radius_invalid', circle, { radiusM: Number.NaN }],
    ['radius_invalid', circle, { radiusM: 2_000_000 }],
    ['margin_invalid', polygon(square), { marginM: -1 }],
    ['margin_invalid', polygon(square), { marginM: Number.NaN }],
    ['position_invalid', polygon([['0', '0'], ...square])],
    ['position_invalid', { type: 'Point', coordinates: [25] }, { radiusM: 5 }],
    ['out_of_range', { type: 'Point', coordinates: [25, 250] }, { radiusM: 5 }],
    ['out_of_range', { type: 'Point', coordinates: [Number.NaN, 5] }, { radiusM: 5 }],
    ['out_of_range', { type: 'Point', coordinates: [25, 89.5] }, { radiusM: 5 }],
    ['ring_unclosed', polygon(square.slice(0, 4))],
    ['ring_too_short', polygon(square.slice(0, 1))],
    ['ring_too_short', { type: 'LineString', coordinates: [[0, 0]] }, { radiusM: 5 }],
    ['ring_too_short', { type: 'MultiPolygon', coordinates: [] }],
    [
      'self_intersecting',
      polygon([
        [0, 0],
        [2, 2],
        [2, 0],
        [0, 2],
        [0, 0],
      ]),
    ],
    [
      'too_wide',
      polygon([
        [-100, 0],
        [0, 0],
        [100, 0],
        [0, 50],
        [-100, 0],
      ]),
    ],
    ['too_many_vertices', polygon([...zigzag, zigzag[0]])],
    ['validity_invalid', polygon(square), { from: 5, to: 5 }],
  ];

  test.each(cases)('with the reason %s: %j', (reason, shape, change) => {
    expect(refusalOf(shape, change ?? {})).toBe(reason);
  });

  test('for every reason of the closed list', () => {
    expect([...new Set(cases.map(([reason]) => reason))].sort()).toEqual([...refusals].sort());
  });

  test('not for holes, several parts, a third coordinate, or rings that touch in a point', () => {
    const hole = square.map(([x = 0, y = 0]) => [0.4 + x / 10, 0.4 + y / 10]);
    const touching = square.map(([x = 0, y = 0]) => [x / 2, y / 2]);
    const high = square.map((position) => [...position, 100]);
    expect(refusalOf(polygon(square, hole))).toBe('taken');
    expect(refusalOf(polygon(square, touching))).toBe('taken');
    expect(refusalOf(polygon(high))).toBe('taken');
    expect(refusalOf({ type: 'MultiPolygon', coordinates: [[square], [hole]] })).toBe('taken');
  });
});

describe('where a fix stands', () => {
  test('is inside, in the margin or outside of a circle', () => {
    const one = geofence(circle, { radiusM: 100, marginM: 50 });
    const metre = 1 / one.shape.plane.metresPerLatitude;
    const standings = [0, 99, 101, 149, 151].map((metres) =>
      standingOf(one, at(25, 54 + metres * metre)),
    );
    expect(standings).toEqual(['inside', 'inside', 'margin', 'margin', 'outside']);
  });

  test('is measured across a corridor, and round its ends', () => {
    const one = geofence(line, { radiusM: 100 });
    const { metresPerLatitude, metresPerLongitude } = one.shape.plane;
    expect(standingOf(one, at(25.5, 54 + 99 / metresPerLatitude))).toBe('inside');
    expect(standingOf(one, at(25.5, 54 + 101 / metresPerLatitude))).toBe('outside');
    expect(standingOf(one, at(25 - 99 / metresPerLongitude, 54))).toBe('inside');
    expect(standingOf(one, at(25 - 101 / metresPerLongitude, 54))).toBe('outside');
  });

  test('in a hole is outside, and in any part is inside', () => {
    const hole = square.map(([x = 0, y = 0]) => [0.4 + x / 10, 0.4 + y / 10]);
    const far = square.map(([x = 0, y = 0]) => [x + 5, y]);
    const one = geofence({ type: 'MultiPolygon', coordinates: [[square, hole], [far]] });
    expect(standingOf(one, at(0.45, 0.45))).toBe('outside');
    expect(standingOf(one, at(0.3, 0.3))).toBe('inside');
    expect(standingOf(one, at(5.5, 0.5))).toBe('inside');
  });

  test('on an edge that two polygons share is inside exactly one of them', () => {
    const left = geofence(polygon(square));
    const right = geofence(polygon(square.map(([x = 0, y = 0]) => [x + 1, y])));
    for (let step = 1; step < 100; step += 1) {
      const fix = at(1, step / 100);
      const inside = [left, right].filter((one) => standingOf(one, fix) === 'inside');
      expect(inside).toHaveLength(1);
    }
  });

  test('across the antimeridian is the same from both sides, however the shape was drawn', () => {
    const drawn = [
      [
        [179, 0],
        [-179, 0],
        [-179, 1],
        [179, 1],
        [179, 0],
      ],
      [
        [179, 0],
        [181, 0],
        [181, 1],
        [179, 1],
        [179, 0],
      ],
    ];
    for (const ring of drawn) {
      const one = geofence(polygon(ring));
      const fixes = [
        at(179.5, 0.5),
        at(-179.5, 0.5),
        at(180, 0.5),
        at(-180, 0.5),
        at(178, 0.5),
        at(0, 0.5),
      ];
      const standings = fixes.map((fix) => standingOf(one, fix));
      expect(standings).toEqual(['inside', 'inside', 'inside', 'inside', 'outside', 'outside']);
    }
  });
});

describe('a ring with many corners', () => {
  const round = (corners: number) => {
    const ring = Array.from({ length: corners }, (_, corner) => {
      const angle = (corner / corners) * 2 * Math.PI;
      return [25 + Math.cos(angle), 54 + Math.sin(angle)];
    });
    return [...ring, ring[0]];
  };

  test.each([5, 99, 100, 101, 500])(
    'of %i is taken, and refused with two of them swapped',
    (corners) => {
      const ring = round(corners);
      const middle = Math.floor(corners / 2);
      const twisted = ring.with(middle, ring[middle + 1]).with(middle + 1, ring[middle]);

      expect(refusalOf(polygon(ring))).toBe('taken');
      expect(refusalOf(polygon(twisted))).toBe('self_intersecting');
    },
  );
});
