import type { Geofence } from './geofence.ts';
import type { Assignment, LiveCrossing, Validity } from './types.ts';

/**
 * The unit of evaluation: one geofence for one assignment of one device, while both are valid.
 * Evaluations of one geofence, device and subject never overlap: `mergeAssignments` sees to it.
 */
export interface Evaluation extends Validity {
  readonly geofence: Geofence;
  readonly assignment: Assignment;
}

/** The evaluation of a geofence for an assignment, or null where they never meet. */
export function evaluationOf(geofence: Geofence, assignment: Assignment): Evaluation | null {
  if (geofence.scope !== null && geofence.scope !== assignment.scope) return null;
  const from = Math.max(geofence.from, assignment.from);
  const to = Math.min(geofence.to, assignment.to);
  return from < to ? { geofence, assignment, from, to } : null;
}

/**
 * The evaluations of a geofence for all assignments of a device. A geofence without a scope does not
 * tell scopes apart: assignments that differ in nothing else are one, so that no two evaluations overlap.
 * @param assignments merged
 */
export function evaluationsOf(
  geofence: Geofence,
  assignments: readonly Assignment[],
): Evaluation[] {
  const isOne = geofence.scope !== null || assignments.length === 1;
  return (isOne ? assignments : withoutScope(assignments)).flatMap(
    (assignment) => evaluationOf(geofence, assignment) ?? [],
  );
}

function withoutScope(assignments: readonly Assignment[]): readonly Assignment[] {
  if (assignments.every(({ scope }) => scope === assignments[0]?.scope)) return assignments;
  return mergeAssignments(assignments.map((assignment) => ({ ...assignment, scope: null })));
}

/**
 * Joins assignments of the same device, subject and scope that overlap or follow each other without
 * a gap, so that a move between them is no exit.
 */
export function mergeAssignments(assignments: readonly Assignment[]): Assignment[] {
  const byHolder = Map.groupBy(assignments, ({ device, subject, scope }) =>
    JSON.stringify([device, subject, scope]),
  );
  return [...byHolder.values()].flatMap(mergeOverlapping);
}

function mergeOverlapping(assignments: readonly Assignment[]): Assignment[] {
  const merged: Assignment[] = [];
  for (const next of assignments.toSorted((a, b) => a.from - b.from)) {
    if (!(next.from < next.to)) continue;
    const last = merged.at(-1);
    if (last === undefined || last.to < next.from) merged.push(next);
    else merged[merged.length - 1] = { ...last, to: Math.max(last.to, next.to) };
  }
  return merged;
}

/** Whether a crossing came from this evaluation, or would come from it again. */
export function belongsTo(
  crossing: Omit<LiveCrossing, 'id'>,
  { geofence, assignment, from, to }: Evaluation,
): boolean {
  const isSame =
    crossing.geofence === geofence.id &&
    crossing.device === assignment.device &&
    crossing.subject === assignment.subject;
  if (!isSame) return false;
  if (crossing.method === 'ended') return crossing.at === to;
  return crossing.afterTs >= from && crossing.afterTs < to;
}
