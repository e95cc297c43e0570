import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { derive } from '../../src/domain/derive.ts';
import { type Evaluation, evaluationOf, mergeAssignments } from '../../src/domain/evaluation.ts';
import { type GeofenceRow, readGeofence } from '../../src/domain/geofence.ts';
import type { Assignment, Crossing, DomainOptions, Fix } from '../../src/domain/types.ts';
import {
  device,
  drive,
  geofenceId,
  geofenceRow,
  placeAt,
  positionAt,
  subjectKey,
} from './places.ts';

const options: DomainOptions = { maxHopMs: 120_000, maxSilenceMs: 3_600_000 };
const origin = { longitude: 25, latitude: 54 };
const always = { from: -Infinity, to: Infinity };
const assignment: Assignment = { device, subject: subjectKey('car'), scope: null, ...always };

/** A square of 100 m around the origin. */
const square: GeofenceRow = {
  id: geofenceId('square'),
  scope: null,
  radiusM: null,
  marginM: 20,
  shape: {
    type: 'Polygon',
    coordinates: [
      [
        positionAt(origin, -50, -50),
        positionAt(origin, 50, -50),
        positionAt(origin, 50, 50),
        positionAt(origin, -50, 50),
        positionAt(origin, -50, -50),
      ],
    ],
  },
  ...always,
};

function evaluation(change: Partial<GeofenceRow> = {}, of: Assignment = assignment): Evaluation {
  const read = readGeofence({ ...square, ...change }, { maxVertices: 100 });
  const found = read.ok ? evaluationOf(read.geofence, of) : null;
  if (found === null) throw new Error('no evaluation');
  return found;
}

/** A drive along the west-east axis: seconds and metres east. */
function along(...points: readonly (readonly [seconds: number, east: number])[]): Fix[] {
  return points.map(([seconds, east]) => ({ ts: seconds * 1000, ...placeAt(origin, east, 0) }));
}

const brief = ({ direction, method, at, beforeTs, afterTs }: Crossing) => ({
  [direction]: method,
  at: Math.round(at / 100) / 10,
  between: [beforeTs === null ? null : beforeTs / 1000, afterTs / 1000],
});

const crossings = (fixes: readonly Fix[], one = evaluation()) =>
  derive(fixes, [one], options).map(brief);

describe('a crossing', () => {
  test('is put on the hop where it enters and where it leaves the margin', () => {
    expect(crossings(along([0, -150], [10, -60], [20, 40], [30, 140]))).toEqual([
      { enter: 'interpolated', at: 11, between: [10, 20] },
      { exit: 'interpolated', at: 23, between: [20, 30] },
    ]);
  });

  test('is found when the fix after it lies exactly on the far edge', () => {
    expect(crossings(along([0, -60], [10, 50], [20, 150]))).toEqual([
      { enter: 'passed', at: 0.9, between: [0, 10] },
      { exit: 'interpolated', at: 12, between: [10, 20] },
    ]);
  });

  test('is at the first fix where none is known before it', () => {
    expect(crossings(along([5, 0]))).toEqual([{ enter: 'first_fix', at: 5, between: [null, 5] }]);
  });

  test('is at the fix itself after a gap', () => {
    expect(crossings(along([0, -150], [500, 0], [1000, 500]))).toEqual([
      { enter: 'gap', at: 500, between: [0, 500] },
      { exit: 'gap', at: 1000, between: [500, 1000] },
    ]);
  });

  test('is found when the device passes through between two fixes', () => {
    expect(crossings(along([0, -100], [10, 100]))).toEqual([
      { enter: 'passed', at: 2.5, between: [0, 10] },
      { exit: 'passed', at: 8.5, between: [0, 10] },
    ]);
  });

  test('is not made by a device that stands at the edge, within the margin', () => {
    const flapping = along([0, -100], [10, -45], [20, -55], [30, -45], [40, -65], [50, -45]);
    expect(crossings(flapping)).toEqual([{ enter: 'interpolated', at: 9.1, between: [0, 10] }]);
  });

  test('ends a stay when the validity ends, at that time', () => {
    const one = evaluation({ to: 15_000 });
    expect(crossings(along([0, 0], [10, 0], [20, 0], [30, 0]), one)).toEqual([
      { enter: 'first_fix', at: 0, between: [null, 0] },
      { exit: 'ended', at: 15, between: [10, 20] },
    ]);
  });

  test('does not exist before the validity begins, and a stay then begins with a first fix', () => {
    const one = evaluation({ from: 15_000 });
    expect(crossings(along([0, -100], [10, 0], [20, 0]), one)).toEqual([
      { enter: 'first_fix', at: 20, between: [null, 20] },
    ]);
  });

  test('carries the place where it happened', () => {
    const [enter] = derive(along([0, -150], [10, 0]), [evaluation()], options);
    const edge = placeAt(origin, -50, 0);
    expect(enter?.longitude).toBeCloseTo(edge.longitude, 6);
    expect(enter?.latitude).toBeCloseTo(edge.latitude, 6);
  });
});

describe('an assignment', () => {
  const other = subjectKey('van');

  test('that moves to another subject inside a geofence ends one stay and begins another', () => {
    const parts = mergeAssignments([
      { ...assignment, to: 15_000 },
      { ...assignment, subject: other, from: 15_000 },
    ]);
    const found = derive(
      along([0, 0], [10, 0], [20, 0]),
      parts.map((part) => evaluation({}, part)),
      options,
    );
    expect(found.map(({ subject, direction, method }) => [subject, direction, method])).toEqual([
      ['car', 'enter', 'first_fix'],
      ['car', 'exit', 'ended'],
      ['van', 'enter', 'first_fix'],
    ]);
  });

  test('that is renewed without a gap is one stay', () => {
    const parts = mergeAssignments([
      { ...assignment, from: 12_000 },
      { ...assignment, to: 12_000 },
    ]);
    expect(parts).toEqual([assignment]);
  });

  test('sees geofences of its own scope and those without one', () => {
    const scoped = { ...assignment, scope: 'race-1' };
    const read = (scope: string | null) => readGeofence({ ...square, scope }, { maxVertices: 100 });
    const sees = (scope: string | null) => {
      const geofence = read(scope);
      return geofence.ok && evaluationOf(geofence.geofence, scoped) !== null;
    };
    expect([sees(null), sees('race-1'), sees('race-2')]).toEqual([true, true, false]);
  });
});

describe('of any drive', () => {
  const scenes = fc.record({ row: geofenceRow(origin, 'one'), fixes: drive(origin, 25) });

  const derived = (row: GeofenceRow, fixes: readonly Fix[]) => {
    const read = readGeofence(row, { maxVertices: 100 });
    const one = read.ok ? evaluationOf(read.geofence, assignment) : null;
    return one === null ? [] : derive(fixes, [one], options);
  };

  test('every crossing lies on the hop that it names, and stays alternate', () => {
    fc.assert(
      fc.property(scenes, ({ row, fixes }) => {
        let inside = false;
        for (const { direction, at, beforeTs, afterTs, method } of derived(row, fixes)) {
          expect(direction === 'enter').toBe(!inside);
          inside = direction === 'enter';
          expect(fixes.some(({ ts }) => ts === afterTs)).toBe(true);
          if (method !== 'ended') expect(at).toBeLessThanOrEqual(afterTs);
          if (beforeTs !== null) expect(at).toBeGreaterThan(method === 'ended' ? 0 : beforeTs);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('shifting all times shifts every crossing by as much', () => {
    const shift = 86_400_000;
    fc.assert(
      fc.property(scenes, ({ row, fixes }) => {
        const moved = derived(
          { ...row, from: row.from + shift, to: row.to + shift },
          fixes.map((fix) => ({ ...fix, ts: fix.ts + shift })),
        );
        expect(moved.map(({ at }) => at - shift)).toEqual(derived(row, fixes).map(({ at }) => at));
      }),
      { numRuns: 1_000 },
    );
  });

  test('a fix on the straight line between two others changes no crossing of a circle by more than 1 ms', () => {
    const circle = fc.record({
      east: fc.integer({ min: -100, max: 100 }),
      radiusM: fc.integer({ min: 20, max: 100 }),
      north: fc.integer({ min: -100, max: 100 }),
      halfway: fc.integer({ min: 1, max: 99 }),
    });
    fc.assert(
      fc.property(circle, ({ east, radiusM, north, halfway }) => {
        const shape = { type: 'Point', coordinates: positionAt(origin, east, north) };
        const row = { ...square, shape, radiusM, marginM: 0 };
        const [start, end] = along([0, -300], [100, 300]);
        if (start === undefined || end === undefined) return;
        const middle = {
          ts: halfway * 1000,
          latitude: start.latitude + ((end.latitude - start.latitude) * halfway) / 100,
          longitude: start.longitude + ((end.longitude - start.longitude) * halfway) / 100,
        };
        const whole = derived(row, [start, end]);
        const split = derived(row, [start, middle, end]);
        expect(split.map(({ direction }) => direction)).toEqual(
          whole.map(({ direction }) => direction),
        );
        split.forEach(({ at }, index) => {
          expect(Math.abs(at - (whole[index]?.at ?? 0))).toBeLessThanOrEqual(1);
        });
      }),
      { numRuns: 2_000 },
    );
  });
});
