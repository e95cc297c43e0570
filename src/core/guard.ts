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
 * Stands before one dependency: everything asked of it is asked through here. Work that fails is
 * tried again, after growing, jittered pauses, within a budget of retries and not while the
 * breaker is open. Nothing is given up: what was read must end somewhere durable.
 */
export class Guard {
  readonly #options: GuardOptions;
  readonly #events: GuardEvents;
  readonly #breaker;
  readonly #budget;
  #failing = 0;
  #onChange: () => void = () => undefined;

  constructor(options: GuardOptions, events: GuardEvents) {
    this.#options = options;
    this.#events = events;
    this.#breaker = createBreaker(options.breaker, (state) =>
      events.breaker(options.dependency, state),
    );
    this.#budget = createRetryBudget({ perMinute: options.retriesPerMinute, now: Date.now });
  }

  /** Calls back at the first failure and at the recovery. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  /** True from a failure until what failed was done. */
  get isFailing(): boolean {
    return this.#failing > 0;
  }

  get breakerState(): BreakerState {
    return this.#breaker.state;
  }

  /** Share of the retry budget that is left, 0 to 1. */
  get budgetRemaining(): number {
    return this.#budget.remaining;
  }

  /**
   * Does `work` until it is done; `subject` is told with each failure.
   * @returns null when the signal aborted first
   * @throws what is no DependencyError: a bug
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

  /** Recovered is told when the last piece of work that failed has ended. */
  #change(by: 1 | -1): void {
    this.#failing += by;
    if (this.#failing === 0) this.#events.recovered(this.#options.dependency);
    this.#onChange();
  }

  #pauseMs(attempt: number): number {
    return Math.max(backoffMs(attempt, this.#options.backoff), this.#budget.take());
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    // At least a turn of the event loop, so that an open breaker is not asked in a busy loop.
    await setTimeout(Math.max(1, ms), undefined, { signal }).catch(() => undefined);
  }
}
