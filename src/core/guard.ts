import { setTimeout } from 'node:timers/promises';
import { type BackoffLimits, backoffMs } from './backoff.ts';
import { BreakerOpen, type BreakerOptions, createBreaker } from './breaker.ts';
import { createRetryBudget } from './retry-budget.ts';
import {
  type BreakerState,
  type Dependency,
  DependencyError,
  type GuardEvents,
  type WorkSubject,
} from './types.ts';

export interface GuardOptions {
  readonly dependency: Dependency;
  readonly backoff: BackoffLimits;
  readonly retriesPerMinute: number;
  readonly breaker: BreakerOptions;
}

/**
 * Runs all work on one dependency. Failed work is retried with backoff and jitter, within a retry
 * budget, and not while the circuit breaker is open. There is no last attempt: every record that was
 * read must get a durable outcome.
 */
export class Guard {
  readonly #options: GuardOptions;
  readonly #events: GuardEvents;
  readonly #breaker;
  readonly #budget;
  #failing = 0;
  readonly #pauses = new Set<() => void>();
  readonly #listeners: (() => void)[] = [];

  constructor(options: GuardOptions, events: GuardEvents) {
    this.#options = options;
    this.#events = events;
    this.#breaker = createBreaker(options.breaker, (state) =>
      events.breaker(options.dependency, state),
    );
    this.#budget = createRetryBudget({ perMinute: options.retriesPerMinute, now: Date.now });
  }

  /** Adds a listener for a change of `isFailing` and for each further failed or recovered work. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Ends all pauses: a sign that the dependency is back, such as a new connection. Without it a retry
   * could come seconds after the end of an outage. An open breaker still has its cool-down.
   */
  retryNow(): void {
    for (const end of this.#pauses) end();
  }

  /** Whether work that failed is still being retried. */
  get isFailing(): boolean {
    return this.#failing > 0;
  }

  get breakerState(): BreakerState {
    return this.#breaker.state;
  }

  /** The share of the retry budget that is left, 0 to 1. */
  get budgetRemaining(): number {
    return this.#budget.remaining;
  }

  /**
   * Retries `work` until it succeeds; each failure is reported with `subject`.
   * @returns null if the signal aborts first
   * @throws any error but a DependencyError, which is a bug
   */
  async untilDone<Result>(
    work: () => Promise<Result>,
    signal: AbortSignal,
    subject: WorkSubject = {},
  ): Promise<Result | null> {
    let failed = false;
    try {
      for (let attempt = 1; !signal.aborted; ) {
        try {
          return await this.#breaker.run(work);
        } catch (error) {
          if (error instanceof BreakerOpen) {
            await this.#sleep(this.#breaker.openUntilMs - Date.now(), signal);
            continue;
          }
          if (!(error instanceof DependencyError)) throw error;
          this.#events.failed(error, attempt, subject);
          if (!failed) this.#change(1);
          failed = true;
          await this.#sleep(this.#pauseMs(attempt), signal);
          attempt += 1;
        }
      }
      return null;
    } finally {
      if (failed) this.#change(-1);
    }
  }

  /** Reports the recovery when the last failed work has ended. */
  #change(by: 1 | -1): void {
    this.#failing += by;
    if (this.#failing === 0) this.#events.recovered(this.#options.dependency);
    for (const listener of this.#listeners) listener();
  }

  #pauseMs(attempt: number): number {
    return Math.max(backoffMs(attempt, this.#options.backoff), this.#budget.take());
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const ended = new AbortController();
    const end = () => ended.abort();
    this.#pauses.add(end);
    signal.addEventListener('abort', end, { once: true });
    // At least 1 ms, so that an open breaker does not make this a busy loop.
    await setTimeout(Math.max(1, ms), undefined, { signal: ended.signal }).catch(() => undefined);
    signal.removeEventListener('abort', end);
    this.#pauses.delete(end);
  }
}
