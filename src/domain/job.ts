import { belongsTo, type Evaluation } from './evaluation.ts';
import type { LiveCrossings } from './live-crossings.ts';
import { liveCrossings } from './live-crossings.ts';
import type { Framed } from './piece.ts';
import type { LiveCrossing } from './types.ts';
import type { Window } from './window.ts';

/** One call of `recompute`. */
export interface Job {
  readonly window: Window;
  readonly evaluations: readonly Evaluation[];
  readonly live: LiveCrossings;
}

/**
 * The calls that compute a framed piece: one, unless a live crossing names a fix before the piece that
 * is deleted by now. It cannot be computed again, so its hop stays as it is, for its evaluation alone,
 * and that evaluation starts from the fix after the hop.
 */
export function jobsOf(
  { window, firstTs }: Framed,
  evaluations: readonly Evaluation[],
  live: readonly LiveCrossing[],
): Job[] {
  const [first, ...others] = window.fixes;
  const kept = live.filter(({ afterTs, beforeTs }) => {
    return afterTs === first?.ts && isDeleted(beforeTs, firstTs);
  });
  if (first === undefined || kept.length === 0) {
    return [{ window, evaluations, live: liveCrossings(live) }];
  }
  const holds = (evaluation: Evaluation) =>
    kept.some((crossing) => belongsTo(crossing, evaluation));
  const [held, free] = [evaluations.filter(holds), evaluations.filter((one) => !holds(one))];
  const isHeld = (crossing: LiveCrossing) => held.some((one) => belongsTo(crossing, one));
  const freeLive = live.filter((crossing) => !isHeld(crossing) && !kept.includes(crossing));
  return [
    {
      window: { ...window, previous: first, fixes: others, from: first.ts },
      evaluations: held,
      live: liveCrossings(live.filter(isHeld)),
    },
    { window, evaluations: free, live: liveCrossings(freeLive) },
  ];
}

function isDeleted(ts: number | null, firstTs: number | null): boolean {
  return ts !== null && firstTs !== null && ts < firstTs;
}
