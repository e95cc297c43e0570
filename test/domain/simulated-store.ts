import { candidatesOf } from '../../src/domain/candidates.ts';
import type { Geofence } from '../../src/domain/geofence.ts';
import { type GeofenceIndex, indexGeofences } from '../../src/domain/geofence-index.ts';
import { liveCrossings } from '../../src/domain/live-crossings.ts';
import { extend, type Reconciliation, recompute } from '../../src/domain/recompute.ts';
import type { Assignment, DomainOptions, Fix, KeyedCrossing } from '../../src/domain/types.ts';
import { windowOf } from '../../src/domain/window.ts';

export interface Range {
  readonly since: number;
  readonly until: number;
}

/** One device's stored fixes and timing records, in memory, worked on as the worker does. */
export interface SimulatedStore {
  store(fixes: readonly Fix[]): void;
  remove(range: Range): void;
  setGeofences(geofences: readonly Geofence[]): void;
  setAssignments(assignments: readonly Assignment[]): void;
  /** Computes a range again and applies the result, as one transaction does. */
  work(range: Range): void;
  live(): KeyedCrossing[];
  fixes(): Fix[];
  /** Keys that were inserted while they were live already. */
  readonly doubled: number;
}

/** Fixes that one extension reads at a time. */
const PAGE = 2;

export function simulatedStore(
  initial: readonly Assignment[],
  options: DomainOptions,
): SimulatedStore {
  let assignments = initial;
  let stored: Fix[] = [];
  let index: GeofenceIndex = indexGeofences([]);
  let doubled = 0;
  const records = new Map<string, KeyedCrossing>();

  function apply({ insert, supersede }: Pick<Reconciliation, 'insert' | 'supersede'>): void {
    for (const id of supersede) records.delete(id);
    for (const crossing of insert) {
      if (records.has(crossing.id)) doubled += 1;
      records.set(crossing.id, crossing);
    }
  }

  function touchedBy(from: number, to: number, hasPrevious: boolean) {
    const live = [...records.values()];
    const inWindow = live.filter(({ afterTs }) => afterTs > from && afterTs <= to);
    const before = hasPrevious ? [] : live.filter(({ afterTs }) => afterTs <= from);
    return [...inWindow, ...before].map(({ geofence }) => geofence);
  }

  return {
    get doubled() {
      return doubled;
    },
    store(fixes) {
      stored = [...stored, ...fixes].toSorted((a, b) => a.ts - b.ts);
    },
    remove({ since, until }) {
      stored = stored.filter(({ ts }) => ts < since || ts > until);
    },
    setGeofences(geofences) {
      index = indexGeofences(geofences);
    },
    setAssignments(next) {
      assignments = next;
    },
    work({ since, until }) {
      const before = stored.findLast(({ ts }) => ts < since) ?? null;
      const after = stored.find(({ ts }) => ts > until);
      const inRange = stored.filter(({ ts }) => ts >= since && ts <= until);
      const fixes = after === undefined ? inRange : [...inRange, after];
      const window = windowOf(since, until, before, fixes);
      const touched = touchedBy(window.from, window.to, window.previous !== null);
      const evaluations = candidatesOf(window, index, assignments, touched);
      const live = liveCrossings(records.values());
      const result = recompute(window, evaluations, live, options);
      const open = [...result.unsettled];
      for (let from = open.pop(); from !== undefined; from = open.pop()) {
        const { last } = from;
        const next = stored.filter(({ ts }) => ts > last.ts);
        const page = next.slice(0, PAGE);
        const more = extend(from, page, page.length === next.length, live, options);
        open.push(...more.unsettled);
        apply(more);
      }
      apply(result);
    },
    live: () => [...records.values()],
    fixes: () => [...stored],
  };
}
