export interface ProgressSample {
  /** A count that grows with every record read or settled. */
  readonly progress: number;
  /** Undelivered entries and entries in flight. */
  readonly backlog: number;
  /** The cause of a stall is known: a failing dependency, a pause. */
  readonly excused: boolean;
}

export interface ProgressWatch {
  observe(sample: ProgressSample): 'moving' | 'stalled';
}

/**
 * Detects a backlog without progress and without a known cause: a bug that a restart may clear.
 * A database that is down is a known cause; a restarted process would wait for it as well.
 */
export function createProgressWatch(options: {
  readonly stallLimitMs: number;
  readonly now: () => number;
}): ProgressWatch {
  let last = -1;
  let movedMs = options.now();
  return {
    observe({ progress, backlog, excused }) {
      const nowMs = options.now();
      if (progress !== last || backlog === 0 || excused) {
        last = progress;
        movedMs = nowMs;
        return 'moving';
      }
      return nowMs - movedMs > options.stallLimitMs ? 'stalled' : 'moving';
    },
  };
}
