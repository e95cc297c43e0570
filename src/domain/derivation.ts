import { type Evaluation, evaluationsOf } from './evaluation.ts';
import type { Geofence } from './geofence.ts';
import type { GeofenceIndex } from './geofence-index.ts';
import { step } from './step.ts';
import type { Assignment, Crossing, DomainOptions, Fix } from './types.ts';
import { boxOf } from './window.ts';

/** The definition of `derive` for fixes that do not fit into memory, and for many geofences. */
export interface Derivation {
  /** Takes the next fixes, oldest first, in parts of any size. @returns the crossings of their hops */
  add(fixes: readonly Fix[]): Crossing[];
}

/** What is known before the first fix. */
export interface DerivationStart {
  readonly previous: Fix | null;
  /** Evaluations that the device is inside of. */
  readonly inside: readonly Evaluation[];
}

/** @param assignments of the device, merged */
export function derivation(
  index: GeofenceIndex,
  assignments: readonly Assignment[],
  options: DomainOptions,
  start: DerivationStart,
): Derivation {
  const cached = evaluationCache(assignments, start.inside);
  const inside = new Set(start.inside);
  let { previous } = start;

  function walk(evaluation: Evaluation, fixes: readonly Fix[], found: Crossing[]): void {
    let isInside = inside.has(evaluation);
    let before = previous;
    for (const fix of fixes) {
      isInside = step(evaluation, isInside, before, fix, options, found);
      before = fix;
    }
    if (isInside) inside.add(evaluation);
    else inside.delete(evaluation);
  }

  return {
    add(fixes) {
      const box = boxOf({ previous, fixes });
      if (box === null) return [];
      const found: Crossing[] = [];
      // An evaluation that is neither near nor inside has no crossing and no state to carry.
      for (const one of new Set([...index.near(box).flatMap(cached), ...inside])) {
        walk(one, fixes, found);
      }
      previous = fixes.at(-1) ?? previous;
      return found;
    },
  };
}

/** Gives the same object for the same evaluation, so that a set of them works. */
function evaluationCache(
  assignments: readonly Assignment[],
  known: readonly Evaluation[],
): (geofence: Geofence) => readonly Evaluation[] {
  const cache = new Map<Geofence, readonly Evaluation[]>();
  return (geofence) => {
    const cached = cache.get(geofence);
    if (cached !== undefined) return cached;
    const made = evaluationsOf(geofence, assignments).map(
      (evaluation) => known.find((one) => isSame(one, evaluation)) ?? evaluation,
    );
    cache.set(geofence, made);
    return made;
  };
}

function isSame(one: Evaluation, other: Evaluation): boolean {
  return (
    one.geofence === other.geofence &&
    one.from === other.from &&
    one.to === other.to &&
    one.assignment.device === other.assignment.device &&
    one.assignment.subject === other.assignment.subject
  );
}
