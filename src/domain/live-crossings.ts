import { belongsTo, type Evaluation } from './evaluation.ts';
import type { LiveCrossing } from './types.ts';

/** The live crossings of one device, as far as they were read. */
export interface LiveCrossings {
  /** Those of hops that end in (from, to]. */
  between(from: number, to: number): readonly LiveCrossing[];
  /** Whether they say that the device is inside after the hop that ends at or before `ts`. */
  insideAt(evaluation: Evaluation, ts: number): boolean;
  /** The one that `insideAt` follows from. */
  lastAt(evaluation: Evaluation, ts: number): LiveCrossing | undefined;
}

/** @param crossings in any order */
export function liveCrossings(crossings: Iterable<LiveCrossing>): LiveCrossings {
  const sorted = [...crossings].sort(compareCrossings);
  const lastAt = (evaluation: Evaluation, ts: number) =>
    sorted.findLast((crossing) => crossing.afterTs <= ts && belongsTo(crossing, evaluation));
  return {
    between: (from, to) => sorted.filter(({ afterTs }) => afterTs > from && afterTs <= to),
    insideAt: (evaluation, ts) => lastAt(evaluation, ts)?.direction === 'enter',
    lastAt,
  };
}

/** By hop, then by time; both crossings of one pass may fall on one millisecond, enter is first. */
export function compareCrossings(a: LiveCrossing, b: LiveCrossing): number {
  if (a.afterTs !== b.afterTs) return a.afterTs - b.afterTs;
  if (a.at !== b.at) return a.at - b.at;
  if (a.direction === b.direction) return 0;
  return a.direction === 'enter' ? -1 : 1;
}
