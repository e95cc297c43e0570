export interface RetryBudgetOptions {
  /** Retries a minute in the long run; as many may happen at once. */
  readonly perMinute: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface RetryBudget {
  /** Takes one retry. @returns milliseconds to wait before it; 0 while the budget lasts */
  take(): number;
  /** The share that is left, 0 to 1. */
  readonly remaining: number;
}

/**
 * A token bucket of retries, refilled over time. It limits the retries of all loops together, also
 * where neither backoff nor breaker does: half of the attempts fail, so the breaker stays closed, and
 * each piece of work succeeds soon, so its backoff stays short (see decision 0041).
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
