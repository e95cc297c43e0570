import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crossingId } from '../../src/domain/crossing-id.ts';
import { derivation } from '../../src/domain/derivation.ts';
import { derive } from '../../src/domain/derive.ts';
import { evaluationsOf, mergeAssignments } from '../../src/domain/evaluation.ts';
import { type Geofence, readGeofence } from '../../src/domain/geofence.ts';
import { indexGeofences } from '../../src/domain/geofence-index.ts';
import type { DomainOptions, Fix } from '../../src/domain/types.ts';
import { assignmentLists, drive, geofenceRow, origins } from './places.ts';

const options: DomainOptions = { maxHopMs: 120_000, maxSilenceMs: 300_000 };

const drives = fc.constantFrom(...origins).chain((origin) =>
  fc.record({
    fixes: drive(origin, 40),
    rows: fc.tuple(...[0, 1, 2].map((id) => geofenceRow(origin, `geofence-${id}`))),
    assignments: assignmentLists,
    sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
  }),
);

function* inParts(fixes: readonly Fix[], sizes: readonly number[]): Generator<readonly Fix[]> {
  let start = 0;
  for (let turn = 0; start < fixes.length; turn += 1) {
    const end = start + (sizes[turn % sizes.length] ?? 1);
    yield fixes.slice(start, end);
    start = end;
  }
}

test('a derivation in parts of any size gives what a derivation of all fixes at once gives', () => {
  let crossings = 0;
  const story = fc.property(drives, ({ fixes, rows, assignments, sizes }) => {
    const geofences = rows.flatMap((row): Geofence[] => {
      const read = readGeofence(row, { maxVertices: 1000 });
      return read.ok ? [read.geofence] : [];
    });
    const merged = mergeAssignments(assignments);
    const evaluations = geofences.flatMap((geofence) => evaluationsOf(geofence, merged));
    const start = { previous: null, inside: [] };
    const inSteps = derivation(indexGeofences(geofences), merged, options, start);
    const found = [...inParts(fixes, sizes)].flatMap((part) => inSteps.add(part));
    crossings += found.length;
    const wanted = derive(fixes, evaluations, options);
    expect(found.map(crossingId).sort()).toEqual(wanted.map(crossingId).sort());
  });
  fc.assert(story, { numRuns: 2000 });
  expect(crossings).toBeGreaterThan(1000);
});
