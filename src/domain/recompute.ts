import { crossingId } from './crossing-id.ts';
import { belongsTo, type Evaluation } from './evaluation.ts';
import { standingOf } from './geofence.ts';
import type { LiveCrossings } from './live-crossings.ts';
import { step } from './step.ts';
import type { Crossing, DomainOptions, Fix, KeyedCrossing, LiveCrossing } from './types.ts';
import type { Window } from './window.ts';

/** What a window's crossings must become. */
export interface Reconciliation {
  /** Crossings that must be live and are not, with their keys. */
  readonly insert: readonly KeyedCrossing[];
  /** Keys of live crossings that must not be. */
  readonly supersede: readonly string[];
  /** Live crossings that are right as they are. */
  readonly unchanged: number;
  /** Evaluations whose state at the window's end may not be the one that later crossings follow from. */
  readonly unsettled: readonly Unsettled[];
  /**
   * Live crossings that the previous fix contradicts, null where it is inside and there is none:
   * evidence of a bug, of queued work, or of an edit that reaches back beyond the horizon.
   */
  readonly mismatches: readonly (LiveCrossing | null)[];
}

/** An evaluation to go on with, from the window's last fix. */
export interface Unsettled {
  readonly evaluation: Evaluation;
  readonly inside: boolean;
  readonly last: Fix;
}

/**
 * Computes the crossings of a window's hops again and compares them with the live ones.
 * @param evaluations all that may have a crossing in the window: near its box, ending in it, or with a
 * live crossing in it
 */
export function recompute(
  window: Window,
  evaluations: readonly Evaluation[],
  live: LiveCrossings,
  options: DomainOptions,
): Reconciliation {
  const steps = recomputeInSteps(window, evaluations, live, options);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The same, with a stop after each evaluation where the caller may let other work run. */
export function* recomputeInSteps(
  window: Window,
  evaluations: readonly Evaluation[],
  live: LiveCrossings,
  options: DomainOptions,
): Generator<undefined, Reconciliation> {
  const want: Crossing[] = [];
  const unsettled: Unsettled[] = [];
  const mismatches: (LiveCrossing | null)[] = [];
  const last = window.fixes.at(-1);
  for (const evaluation of evaluations) {
    const start = stateBefore(evaluation, window, live);
    if (start.mismatch !== undefined) mismatches.push(start.mismatch);
    const inside = walk(evaluation, start.inside, window.previous, window.fixes, options, want);
    yield;
    // A window that reaches the end of the table has nothing behind it that could follow from it.
    if (last === undefined || window.to === Infinity) continue;
    if (!isSettledAt(evaluation, inside, last, live)) unsettled.push({ evaluation, inside, last });
  }
  return { ...reconcile(want, live.between(window.from, window.to)), unsettled, mismatches };
}

/**
 * Continues an unsettled evaluation over the fixes that follow, until its state is the one that the
 * live crossings imply and that every window behind it started with.
 * @param fixes usable fixes after `from.last`, oldest first
 * @param isEnd no fix is stored after these
 */
export function extend(
  from: Unsettled,
  fixes: readonly Fix[],
  isEnd: boolean,
  live: LiveCrossings,
  options: DomainOptions,
): Omit<Reconciliation, 'mismatches'> {
  const { evaluation } = from;
  const want: Crossing[] = [];
  let { inside, last } = from;
  let isSettled = isEnd && fixes.length === 0;
  for (const fix of fixes) {
    inside = step(evaluation, inside, last, fix, options, want);
    last = fix;
    isSettled = isSettledAt(evaluation, inside, fix, live);
    if (isSettled) break;
  }
  const reachesEnd = isEnd && last === (fixes.at(-1) ?? from.last);
  const until = reachesEnd ? Infinity : last.ts;
  const have = live
    .between(from.last.ts, until)
    .filter((crossing) => belongsTo(crossing, evaluation));
  const unsettled = isSettled || reachesEnd ? [] : [{ evaluation, inside, last }];
  return { ...reconcile(want, have), unsettled };
}

/** The state after the window's previous fix. */
export function stateBefore(
  evaluation: Evaluation,
  { previous, from }: Pick<Window, 'previous' | 'from'>,
  live: LiveCrossings,
): { readonly inside: boolean; readonly mismatch?: LiveCrossing | null } {
  if (previous === null) return { inside: live.insideAt(evaluation, from) };
  const last = live.lastAt(evaluation, previous.ts);
  const implied = last?.direction === 'enter';
  const inside = decidedBy(evaluation, previous) ?? implied;
  return inside === implied ? { inside } : { inside, mismatch: last ?? null };
}

/**
 * Whether what lies behind the fix follows from this state. In the margin that is not known even where
 * the live crossings imply the same: a window that starts behind the fix may have been computed from an
 * earlier one that is ignored now, before its own crossing was stored.
 */
function isSettledAt(
  evaluation: Evaluation,
  inside: boolean,
  fix: Fix,
  live: LiveCrossings,
): boolean {
  return inside === live.insideAt(evaluation, fix.ts) && decidedBy(evaluation, fix) !== null;
}

/** The state that a fix alone decides; null in the margin, where what was before counts. */
function decidedBy(evaluation: Evaluation, fix: Fix): boolean | null {
  if (fix.ts < evaluation.from || fix.ts >= evaluation.to) return false;
  const standing = standingOf(evaluation.geofence, fix);
  return standing === 'margin' ? null : standing === 'inside';
}

function walk(
  evaluation: Evaluation,
  start: boolean,
  previous: Fix | null,
  fixes: readonly Fix[],
  options: DomainOptions,
  want: Crossing[],
): boolean {
  let inside = start;
  let before = previous;
  for (const fix of fixes) {
    inside = step(evaluation, inside, before, fix, options, want);
    before = fix;
  }
  return inside;
}

function reconcile(
  want: readonly Crossing[],
  have: readonly LiveCrossing[],
): Pick<Reconciliation, 'insert' | 'supersede' | 'unchanged'> {
  const wanted = new Map(want.map((crossing) => [crossingId(crossing), crossing]));
  const supersede: string[] = [];
  let unchanged = 0;
  for (const { id } of have) {
    if (wanted.delete(id)) unchanged += 1;
    else supersede.push(id);
  }
  return {
    insert: [...wanted].map(([id, crossing]) => ({ ...crossing, id })),
    supersede,
    unchanged,
  };
}
