import fc from 'fast-check';
import { type Geofence, type GeofenceRow, readGeofence } from '../../src/domain/geofence.ts';
import type { Assignment, Fix } from '../../src/domain/types.ts';
import { assignmentLists, drive, geofenceRow, origins } from './places.ts';

/** What happens to the device's data, besides fixes that arrive. */
export type Event =
  | { readonly kind: 'edit'; readonly position: number; readonly row: GeofenceRow }
  | { readonly kind: 'delete'; readonly position: number }
  | { readonly kind: 'ignore'; readonly at: number; readonly length: number };

export interface Story {
  readonly fixes: readonly Fix[];
  readonly rows: readonly GeofenceRow[];
  readonly assignments: readonly Assignment[];
  /** How far a fix may arrive from its place, by index. */
  readonly disorder: readonly number[];
  readonly batch: readonly number[];
  readonly events: readonly Event[];
  /** Decides what is worked on next, what is repeated and what is split. */
  readonly choices: readonly number[];
}

export const stories: fc.Arbitrary<Story> = fc.constantFrom(...origins).chain((origin) => {
  const row = fc.nat(2).chain((id) => geofenceRow(origin, `geofence-${id}`));
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.record({ kind: fc.constant('edit' as const), position: fc.nat(2), row }),
    fc.record({ kind: fc.constant('delete' as const), position: fc.nat(2) }),
    fc.record({
      kind: fc.constant('ignore' as const),
      at: fc.integer({ min: 0, max: 300_000 }),
      length: fc.integer({ min: 0, max: 60_000 }),
    }),
  );
  return fc.record({
    fixes: drive(origin, 25),
    rows: fc.tuple(...[0, 1, 2].map((id) => geofenceRow(origin, `geofence-${id}`))),
    assignments: assignmentLists,
    disorder: fc.array(fc.constantFrom(0, 0, 2, 40), { minLength: 1, maxLength: 8 }),
    batch: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 6 }),
    events: fc.array(event, { maxLength: 3 }),
    choices: fc.array(fc.nat(1000), { minLength: 20, maxLength: 40 }),
  });
});

export function geofencesOf(rows: readonly GeofenceRow[]): Geofence[] {
  return rows.flatMap((row) => {
    const read = readGeofence(row, { maxVertices: 1000 });
    return read.ok ? [read.geofence] : [];
  });
}

/** Fixes in the order in which they arrive. */
export function arrivalOf({ fixes, disorder }: Story): Fix[] {
  return fixes
    .map((fix, index) => ({ fix, rank: index + (disorder[index % disorder.length] ?? 0) }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ fix }) => fix);
}
