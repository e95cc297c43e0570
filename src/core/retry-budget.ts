export interface RetryBudgetOptions {
  /** Retries a minute in the long run; as many may come at once. */
  readonly perMinute: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface RetryBudget {
  /** Takes one retry. @returns how long to wait first; 0 while the budget lasts */
  take(): number;
  /** What is left, 0 to 1. */
  readonly remaining: number;
}

/**
 * A bucket of retries that fills up with time. However many loops fail together, the dependency
 * sees no more attempts than this: a server that comes back is not run over.
 */
export function createRetryBudget({ perMinute, now }: RetryBudgetOptions): RetryBudget {
  const refillMs = 60_000 / perMinute;
  let left = perMinute;
  let filledMs = now();

  function refill(): void {
    const nowMs = now();
    // A clock set back must not empty the bucket.
    left = Math.min(perMinute, left + Math.max(0, nowMs - filledMs) / refillMs);
    filledMs = nowMs;
  }

  return {
    take() {
      refill();
      left -= 1;
      return left >= 0 ? 0 : -left * refillMs;
    },
    get remaining() {
      refill();
      return Math.max(0, left) / perMinute;
    },
  };
}
