import { belongsTo, type Evaluation } from './evaluation.ts';
import type { Crossing } from './types.ts';

/** A timing record of this service that is not superseded, with its key. */
export interface LiveCrossing extends Crossing {
  readonly id: string;
}

/** The live crossings of one device, as far as they were read. */
export interface LiveCrossings {
  /** Those of hops that end in (from, to]. */
  between(from: number, to: number): readonly LiveCrossing[];
  /** Whether they say that the device is inside after the hop that ends at or before `ts`. */
  insideAt(evaluation: Evaluation, ts: number): boolean;
}

/** @param crossings in any order */
export function liveCrossings(crossings: Iterable<LiveCrossing>): LiveCrossings {
  const sorted = [...crossings].sort(compareCrossings);
  return {
    between: (from, to) => sorted.filter(({ afterTs }) => afterTs > from && afterTs <= to),
    insideAt(evaluation, ts) {
      const last = sorted.findLast(
        (crossing) => crossing.afterTs <= ts && belongsTo(crossing, evaluation),
      );
      return last?.direction === 'enter';
    },
  };
}

/** By hop, then by time; both crossings of one pass may fall on one millisecond, enter is first. */
export function compareCrossings(a: Crossing, b: Crossing): number {
  if (a.afterTs !== b.afterTs) return a.afterTs - b.afterTs;
  if (a.at !== b.at) return a.at - b.at;
  if (a.direction === b.direction) return 0;
  return a.direction === 'enter' ? -1 : 1;
}
