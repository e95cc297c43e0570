import { describe, expect, test } from 'vitest';
import { sumBacklogs } from '../../src/observability/backlog-sum.ts';
import type { BacklogSample } from '../../src/observability/sampling.ts';
import { combine, combineStates, formatShards } from '../../src/observability/shards.ts';
import { readCountOf } from '../../src/service/stream-parts.ts';

describe('shards as text', () => {
  test('are ranges as READ_SHARDS takes them', () => {
    expect(formatShards([])).toBe('');
    expect(formatShards([5])).toBe('5');
    expect(formatShards([0, 1, 2, 3, 8, 10, 11])).toBe('0-3,8,10-11');
  });
});

describe('the combined state of a part', () => {
  const of = (states: readonly string[]) => combineStates(new Map(states.entries()));

  test('is ok only if it is ok in every shard', () => {
    expect(of(['ok', 'ok'])).toBe('ok');
    expect(of(['ok', 'starting'])).toBe('starting (shards 1)');
  });

  test('names the shards of each state, those that need a person first', () => {
    const states = ['unavailable: MOVED', 'ok', 'configuration: NOPERM', 'unavailable: MOVED'];
    expect(of(states)).toBe('configuration: NOPERM (shards 2); unavailable: MOVED (shards 0,3)');
  });

  test('is bounded, however many states there are', () => {
    const states = Array.from({ length: 10 }, (_, index) => `unavailable: CODE${index}`);
    expect(of(states)).toContain('unavailable: CODE3 (shards 3); 6 other states');
  });
});

test('a combined value is shown after each change, from the streams that are known', () => {
  const shown: number[][] = [];
  const set = combine<number>(3, (known) => shown.push([...known]));
  set(2, 5);
  set(0, 4);
  set(2, 6);
  expect(shown).toEqual([[5], [4, 5], [4, 6]]);
});

describe('the sum of backlogs', () => {
  const sample: BacklogSample = {
    length: 10,
    neverWritten: false,
    lag: 3,
    lagAgeMs: 500,
    pending: 2,
    pendingOldestMs: 70,
    idFault: null,
    deadLetters: 1,
    deadLetterOldestMs: 9,
  };

  test('of one stream is its sample', () => {
    expect(sumBacklogs([sample])).toEqual(sample);
    expect(sumBacklogs([null])).toBeNull();
  });

  test('adds numbers up and keeps the highest age and any fault', () => {
    const other: BacklogSample = { ...sample, lagAgeMs: 900, idFault: 'past', neverWritten: true };
    expect(sumBacklogs([sample, other])).toEqual({
      ...sample,
      length: 20,
      lag: 6,
      lagAgeMs: 900,
      pending: 4,
      idFault: 'past',
      deadLetters: 2,
    });
  });

  test('is unknown while a part is, and the worst is that of the known parts', () => {
    expect(sumBacklogs([sample, null])).toEqual({
      ...sample,
      length: null,
      lag: null,
      pending: null,
      deadLetters: null,
    });
    expect(sumBacklogs([sample, { ...sample, lag: null }])).toMatchObject({
      lag: null,
      length: 20,
    });
  });
});

test('shards share READ_COUNT, with a minimum for each', () => {
  expect(readCountOf(1000, 1)).toBe(1000);
  expect(readCountOf(1000, 4)).toBe(250);
  expect(readCountOf(1000, 64)).toBe(50);
  expect(readCountOf(10, 64)).toBe(10);
});
