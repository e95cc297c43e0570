import { describe, expect, test } from 'vitest';
import { createRetryBudget } from '../../src/core/retry-budget.ts';
import { type BreakerState, DependencyError } from '../../src/core/types.ts';
import { guard, turn } from './parts.ts';

const down = new DependencyError('database', 'unavailable', 'DOWN', 'down');
const never = new AbortController().signal;

describe('work that fails', () => {
  test('is retried until it succeeds, with one call more than failures', async () => {
    const attempts: number[] = [];
    const recovered: string[] = [];
    const guarding = guard('database', {
      events: {
        failed: (_error, attempt) => attempts.push(attempt),
        recovered: (dependency) => recovered.push(dependency),
      },
    });
    let calls = 0;

    const result = await guarding.untilDone(() => {
      calls += 1;
      return calls <= 7 ? Promise.reject(down) : Promise.resolve('done');
    }, never);

    expect([result, calls]).toEqual(['done', 8]);
    expect(attempts).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(recovered).toEqual(['database']);
    expect(guarding.isFailing).toBe(false);
  });

  test('sets isFailing from the first failure until it succeeds, and calls the listener', async () => {
    const guarding = guard('database');
    const reported: boolean[] = [];
    guarding.onChange(() => reported.push(guarding.isFailing));
    let calls = 0;
    await guarding.untilDone(() => {
      calls += 1;
      return calls === 1 ? Promise.reject(down) : Promise.resolve(true);
    }, never);

    expect(reported).toEqual([true, false]);
  });

  test('is retried at once when the dependency is back, however long the pause is', async () => {
    const backoff = { minMs: 600_000, maxMs: 600_000 };
    const guarding = guard('redis', { backoff });
    let calls = 0;
    const done = guarding.untilDone(() => {
      calls += 1;
      return calls === 1 ? Promise.reject(down) : Promise.resolve('done');
    }, never);
    await turn();
    expect(guarding.isFailing).toBe(true);

    guarding.retryNow();

    expect(await done).toBe('done');
    // Nothing is left that a later call would end.
    guarding.retryNow();
  });

  test('recovers when the last of several loops has succeeded', async () => {
    const reported: string[] = [];
    const guarding = guard('redis', {
      events: { recovered: () => reported.push(`recovered, failing ${guarding.isFailing}`) },
    });
    const opened = Promise.withResolvers<void>();
    let first = true;
    let isDown = true;
    const short = guarding.untilDone(() => {
      const fails = first;
      first = false;
      return fails ? Promise.reject(down) : Promise.resolve(true);
    }, never);
    const long = guarding.untilDone(async () => {
      if (isDown) throw down;
      await opened.promise;
      return true;
    }, never);
    await short;
    expect(reported).toEqual([]);
    isDown = false;
    opened.resolve();
    await long;

    expect(reported).toEqual(['recovered, failing false']);
  });

  test('resolves with null when the signal aborts first', async () => {
    const stop = new AbortController();
    const guarding = guard('database');
    let calls = 0;
    const result = guarding.untilDone(() => {
      calls += 1;
      if (calls === 3) stop.abort();
      return Promise.reject(down);
    }, stop.signal);

    expect(await result).toBeNull();
    expect(calls).toBe(3);
    expect(guarding.isFailing).toBe(false);
  });

  test('is not retried when the error is a bug', async () => {
    let calls = 0;
    const work = () => {
      calls += 1;
      return Promise.reject(new TypeError('bug'));
    };

    await expect(guard('database').untilDone(work, never)).rejects.toThrow('bug');
    expect(calls).toBe(1);
  });
});

describe('the breaker', () => {
  const breaker = { errorRate: 0.5, samples: 10, minSamples: 4, coolDownMs: 40 };

  test('opens after the minimum number of samples and then only probes the dependency', async () => {
    const states: BreakerState[] = [];
    const callsAtOpen: number[] = [];
    let calls = 0;
    const guarding = guard('database', {
      breaker,
      events: {
        breaker: (_dependency, state) => {
          states.push(state);
          if (state === 'open') callsAtOpen.push(calls);
        },
      },
    });
    await guarding.untilDone(() => {
      calls += 1;
      return calls <= 6 ? Promise.reject(down) : Promise.resolve(true);
    }, never);

    // Four samples open it; then each cool-down ends with one probe.
    expect(callsAtOpen).toEqual([4, 5, 6]);
    expect(states).toEqual([
      'open',
      'half_open',
      'open',
      'half_open',
      'open',
      'half_open',
      'closed',
    ]);
    expect([calls, guarding.breakerState]).toEqual([7, 'closed']);
  });

  test('lets a single probe through when half open, however many calls wait', async () => {
    const probe = Promise.withResolvers<void>();
    let probes = 0;
    let isHalfOpen = false;
    const guarding = guard('database', {
      breaker: { ...breaker, minSamples: 1 },
      events: {
        breaker: (_dependency, state) => {
          isHalfOpen = state === 'half_open';
        },
      },
    });
    let isDown = true;
    const work = async () => {
      if (isHalfOpen) {
        probes += 1;
        await probe.promise;
      }
      if (isDown) throw down;
      return true;
    };
    const all = Promise.all(Array.from({ length: 5 }, () => guarding.untilDone(work, never)));
    while (probes === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect(probes).toBe(1);
    isDown = false;
    probe.resolve();

    expect(await all).toEqual([true, true, true, true, true]);
  });

  test('stays closed while at most the given share of attempts fails', async () => {
    const states: BreakerState[] = [];
    const guarding = guard('database', {
      breaker,
      events: { breaker: (_dependency, state) => states.push(state) },
    });
    let calls = 0;
    for (let pair = 0; pair < 20; pair += 1) {
      await guarding.untilDone(() => {
        calls += 1;
        // Success first, so that never more than half of the samples are failures.
        return calls % 2 === 0 ? Promise.reject(down) : Promise.resolve(true);
      }, never);
    }
    expect(states).toEqual([]);
  });
});

describe('the retry budget', () => {
  test('allows a burst and then one retry at a time', () => {
    let nowMs = 0;
    const budget = createRetryBudget({ perMinute: 60, now: () => nowMs });
    const burst = Array.from({ length: 60 }, () => budget.take());
    expect(new Set(burst)).toEqual(new Set([0]));
    expect(budget.remaining).toBe(0);

    expect([budget.take(), budget.take()]).toEqual([1000, 2000]);
    nowMs = 62_000;
    expect(budget.remaining).toBe(1);
    expect(budget.take()).toBe(0);
  });

  test('is not emptied when the clock is set back', () => {
    let nowMs = 1_000_000;
    const budget = createRetryBudget({ perMinute: 60, now: () => nowMs });
    nowMs = 0;
    expect(budget.take()).toBe(0);
    expect(budget.remaining).toBeCloseTo(59 / 60);
  });

  test('shrinks with every retry', async () => {
    const guarding = guard('database', { retriesPerMinute: 10 });
    let calls = 0;
    await guarding.untilDone(() => {
      calls += 1;
      return calls <= 4 ? Promise.reject(down) : Promise.resolve(true);
    }, never);

    expect(guarding.budgetRemaining).toBeCloseTo(0.6, 1);
  });

  // Neither backoff nor breaker bounds this: each piece of work fails once and then succeeds, so
  // every pause is the shortest and never more than half of the samples are failures.
  test('bounds the retries of many loops whose failures keep the breaker closed', async () => {
    const states: BreakerState[] = [];
    const retriesPerMinute = 20;
    const loops = 8;
    const stop = new AbortController();
    let retries = 0;
    const guarding = guard('database', {
      retriesPerMinute,
      breaker: { errorRate: 0.5, samples: 20, minSamples: 5, coolDownMs: 2000 },
      events: {
        failed: () => {
          retries += 1;
        },
        breaker: (_dependency, state) => states.push(state),
      },
    });
    const startedMs = Date.now();
    const all = Array.from({ length: loops }, async () => {
      while (!stop.signal.aborted) {
        await guarding.untilDone(() => Promise.resolve(true), stop.signal);
        let failed = false;
        await guarding.untilDone(() => {
          if (failed) return Promise.resolve(true);
          failed = true;
          return Promise.reject(down);
        }, stop.signal);
        await turn();
      }
    });
    while (guarding.budgetRemaining > 0) await turn();
    await new Promise((resolve) => setTimeout(resolve, 300));
    stop.abort();
    await Promise.all(all);

    const refilled = ((Date.now() - startedMs) / 60_000) * retriesPerMinute;
    expect(states).toEqual([]);
    expect(retries).toBeGreaterThanOrEqual(retriesPerMinute);
    // Each loop may already have failed once more and wait for its turn.
    expect(retries).toBeLessThanOrEqual(retriesPerMinute + refilled + loops);
  });
});
