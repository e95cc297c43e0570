import { describe, expect, test } from 'vitest';
import { DependencyError, type Logger } from '../../src/core/types.ts';
import { createHealth } from '../../src/lifecycle/health.ts';
import { repeat } from '../../src/lifecycle/repeat.ts';
import { retryStep } from '../../src/lifecycle/start-up.ts';

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const down = new DependencyError('database', 'unavailable', 'DOWN', 'down');

function options(signal = new AbortController().signal) {
  const failures: string[] = [];
  const onFailure = ({ code }: DependencyError) => failures.push(code);
  return { failures, options: { minMs: 1, maxMs: 2, signal, onFailure } };
}

describe('a step of the start-up', () => {
  test('is retried until it succeeds: one call more than it has failures', async () => {
    const { failures, options: trying } = options();
    let calls = 0;
    const result = await retryStep(
      'step',
      () => {
        calls += 1;
        return calls <= 6 ? Promise.reject(down) : Promise.resolve('done');
      },
      trying,
      silent,
    );

    expect([result, calls, failures.length]).toEqual(['done', 7, 6]);
  });

  test('is not retried when the error is not from a dependency', async () => {
    const { options: trying } = options();
    let calls = 0;
    const step = () => {
      calls += 1;
      return Promise.reject(new TypeError('bug'));
    };

    await expect(retryStep('step', step, trying, silent)).rejects.toThrow('bug');
    expect(calls).toBe(1);
  });

  test('is not retried after the stop', async () => {
    const stop = new AbortController();
    const { options: trying } = options(stop.signal);
    let calls = 0;
    const step = () => {
      calls += 1;
      if (calls === 3) stop.abort();
      return Promise.reject(down);
    };

    await expect(retryStep('step', step, trying, silent)).rejects.toThrow(/abort/i);
    expect(calls).toBe(3);
  });
});

describe('a repetition', () => {
  test('never overlaps itself, and its end waits for the current run', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    const end = repeat(async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running -= 1;
      runs += 1;
    }, 0);
    while (runs < 5) await new Promise((resolve) => setTimeout(resolve, 1));
    await end();

    expect([most, running]).toEqual([1, 0]);
    const ended = runs;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(runs).toBe(ended);
  });
});

describe('readiness', () => {
  test('needs every part and names the missing one; liveness needs none', () => {
    const health = createHealth(['redis', 'database']);
    health.set('redis', 'ok');
    expect(health.ready()).toEqual({ ok: false, checks: { redis: 'ok', database: 'starting' } });
    health.set('database', 'ok');
    expect(health.ready().ok).toBe(true);
    health.set('redis', 'unavailable: ECONNREFUSED');
    expect([health.ready().ok, health.live().ok]).toEqual([false, true]);
  });
});
