export interface ProgressSample {
  /** A count that grows with every record read or settled. */
  readonly progress: number;
  /** Entries that wait or are in flight. */
  readonly backlog: number;
  /** The reason for standing still is known: a failing dependency, a pause. */
  readonly excused: boolean;
}

export interface ProgressWatch {
  observe(sample: ProgressSample): 'moving' | 'stalled';
}

/**
 * Tells a service that has work and does none of it, though nothing is known to be wrong: a fault
 * of ours that a fresh process may not have. A database that is down is no such fault; another
 * process would wait for it as well.
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
