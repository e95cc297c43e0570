import { describe, expect, test } from 'vitest';
import { createAccount } from '../../src/core/account.ts';
import { Batcher } from '../../src/core/batcher.ts';
import { InFlight } from '../../src/core/in-flight.ts';
import { InFlightBudget } from '../../src/core/in-flight-budget.ts';
import { Pipeline } from '../../src/core/pipeline.ts';
import { createPoisonIsolation } from '../../src/core/poison-isolation.ts';
import type { ReadingParts } from '../../src/core/reading.ts';
import { DependencyError, type Entry, type EntryId, type Outcomes } from '../../src/core/types.ts';
import { deviceId, entry, events, guard, noStates, position, turn } from './parts.ts';

const away = new DependencyError('redis', 'unavailable', 'ECONNREFUSED', 'the node is away');

interface Planned {
  /** Entries by read; after the last one reads return nothing. */
  readonly reads: readonly (readonly Entry[])[];
  /** Whether the shard's node is away, for acknowledgements and crash counts. */
  readonly isAway?: () => boolean;
  /** Whether reads fail as well. */
  readonly readsFail?: () => boolean;
  /** Acknowledgements wait for it: a node that hangs and does not fail yet. */
  readonly hangs?: Promise<void>;
}

interface Watching {
  /** Called before a batch is stored; the store waits for it. */
  readonly onWrite?: () => Promise<void> | void;
  readonly onInterpret?: (shard: number, entry: Entry) => void;
}

/** A pipeline over shards whose reads are planned; every entry holds one row. */
function setUp(plans: readonly Planned[], watching: Watching = {}, records = 1000) {
  const budget = new InFlightBudget({ records, bytes: 1_000_000 }, plans.length);
  const account = createAccount(() => {});
  const databaseGuard = guard('database');
  const acknowledged: string[] = [];
  const crashCounts = new Map<string, number>();
  const stored: number[] = [];

  const sideOf = ({ reads, isAway = () => false, readsFail, hangs }: Planned, shard: number) => {
    let next = 0;
    const fails = readsFail ?? isAway;
    const redis = guard('redis');
    const need = (isFailing: () => boolean) => (isFailing() ? Promise.reject(away) : turn());
    const key = (id: EntryId) => `${shard}:${id}`;
    const reading: ReadingParts = {
      shard,
      inFlight: new InFlight(budget),
      guard: redis,
      deadLetterGuard: guard('redis'),
      async read() {
        await need(fails);
        next += 1;
        return reads[next - 1] ?? [];
      },
      interpret(one) {
        watching.onInterpret?.(shard, one);
        const ts = Number.parseInt(one.id, 10);
        const row = position({ deviceId: deviceId(shard), ts });
        return { kind: 'records', positions: [row], rejections: [] };
      },
      async acknowledge(entries) {
        await hangs;
        await need(isAway);
        acknowledged.push(...entries.map(({ entry }) => key(entry.id)));
      },
      moveRound: (held) => Promise.resolve({ moved: held, failed: [], failure: null }),
      isolation: createPoisonIsolation({
        maxDeliveries: 5,
        guard: redis,
        async increment(id) {
          await need(isAway);
          crashCounts.set(key(id), (crashCounts.get(key(id)) ?? 0) + 1);
          return crashCounts.get(key(id)) ?? 0;
        },
        async clear(id) {
          await need(isAway);
          crashCounts.delete(key(id));
        },
        events: events(),
      }),
      events: events(),
      readCount: 100,
    };
    return reading;
  };

  const readings = plans.map(sideOf);
  const pipeline = new Pipeline({
    account,
    batcher: new Batcher({ rows: 100, bytes: 1_000_000 }),
    states: noStates(),
    databaseGuard,
    async write(rows, outcomes: Outcomes) {
      await watching.onWrite?.();
      await turn();
      stored.push(...rows.map(({ ts }) => ts));
      outcomes.fill('inserted', 0, rows.length);
      return 1;
    },
    events: events(),
    writers: 1,
    readings,
  });
  const inFlight = () => readings.map((reading) => reading.inFlight.ids());
  return { pipeline, account, acknowledged, crashCounts, stored, inFlight, readings, budget };
}

/** @throws when the condition does not come true within many turns */
async function until(what: string, condition: () => boolean): Promise<void> {
  for (let turns = 0; turns < 20_000; turns += 1) {
    if (condition()) return;
    await turn();
  }
  throw new Error(`never: ${what}`);
}

const poison = (number: number) => entry(number, 100, 6);

describe('entries with the same id in two shards', () => {
  test('are both stored and acknowledged, each in its shard, while a write holds one', async () => {
    const opened = Promise.withResolvers<void>();
    const { pipeline, acknowledged, account, inFlight } = setUp(
      [{ reads: [[entry(7)]] }, { reads: [[], [], [entry(7)]] }],
      { onWrite: () => opened.promise },
    );
    pipeline.start();
    await until('both are in flight', () => inFlight().flat().length === 2);
    expect(inFlight()).toEqual([['7-0'], ['7-0']]);

    opened.resolve();
    expect(await pipeline.drain(20_000)).toBe(true);
    expect(acknowledged.toSorted()).toEqual(['0:7-0', '1:7-0']);
    expect(account.totals()).toMatchObject({ read: 2, settled: { inserted: 2 } });
  });
});

describe('a shard whose node is away', () => {
  test('keeps its entries, and the other shards read, store and acknowledge', async () => {
    let isAway = true;
    const many = Array.from({ length: 50 }, (_, number) => [entry(number)]);
    const { pipeline, acknowledged, inFlight } = setUp([
      { reads: [[entry(1)]], isAway: () => isAway, readsFail: () => false },
      { reads: many },
    ]);
    pipeline.start();
    await until('the other shard is read', () => acknowledged.length === 50);
    expect(acknowledged.every((id) => id.startsWith('1:'))).toBe(true);
    expect(inFlight()).toEqual([['1-0'], []]);

    isAway = false;
    expect(await pipeline.drain(20_000)).toBe(true);
    expect(acknowledged).toContain('0:1-0');
  });

  test('fills at most its part of the in-flight budget, so that the others read on', async () => {
    const answers = Promise.withResolvers<void>();
    const flood = Array.from({ length: 100 }, (_, read) =>
      Array.from({ length: 10 }, (__, index) => entry(read * 10 + index)),
    );
    const others = Array.from({ length: 40 }, (_, number) => [entry(number)]);
    const { pipeline, acknowledged, readings } = setUp(
      [{ reads: flood, hangs: answers.promise }, { reads: others }],
      {},
      100,
    );
    pipeline.start();
    await until(
      'the budget of the first shard is full',
      () => readings[0]?.inFlight.isFull === true,
    );
    await until('the other shard is read', () => acknowledged.length === 40);

    // The shared half, its own reserve, and one read.
    expect(readings[0]?.inFlight.records).toBeGreaterThanOrEqual(75);
    expect(readings[0]?.inFlight.records).toBeLessThan(75 + 10);
    answers.resolve();
    expect(await pipeline.drain(20_000)).toBe(true);
  });

  test('ends a drain without success, after the other shards are empty', async () => {
    const { pipeline, acknowledged, inFlight, account } = setUp([
      { reads: [[entry(1)]], isAway: () => true, readsFail: () => false },
      { reads: [[entry(1)], [entry(2)]] },
    ]);
    pipeline.start();
    await until('all is read', () => account.totals().read === 3);

    expect(await pipeline.drain(200)).toBe(false);
    expect(acknowledged.toSorted()).toEqual(['1:1-0', '1:2-0']);
    expect(inFlight()).toEqual([['1-0'], []]);
  });
});

describe('an entry that is processed in isolation', () => {
  /** Records what was interpreted while the poison entry of shard 0 was in flight, or before it was settled. */
  function watchIsolation() {
    const during: string[] = [];
    let isAlone = false;
    return {
      during,
      begins: () => {
        isAlone = true;
      },
      ends: () => {
        isAlone = false;
      },
      onInterpret(shard: number, { id }: Entry) {
        if (isAlone) during.push(`${shard}:${id}`);
      },
    };
  }

  test('is alone in the whole process: other shards neither read nor interpret meanwhile', async () => {
    const watch = watchIsolation();
    const otherReads = Array.from({ length: 200 }, (_, number) => [entry(number)]);
    const opened = Promise.withResolvers<void>();
    let isPoisonTaken = false;
    const { pipeline, stored, inFlight, acknowledged } = setUp(
      [{ reads: [[entry(1), poison(9999)]] }, { reads: otherReads }],
      {
        onInterpret(shard, one) {
          watch.onInterpret(shard, one);
          if (one.deliveries <= 5) return;
          isPoisonTaken = true;
          watch.begins();
          // Nothing of another shard is in flight.
          expect(inFlight()).toEqual([[], []]);
        },
        onWrite: () => (isPoisonTaken ? opened.promise : undefined),
      },
    );
    pipeline.start();
    await until('the poison entry is in flight', () => isPoisonTaken);
    for (let turns = 0; turns < 100; turns += 1) await turn();
    expect(watch.during).toEqual([]);
    expect(inFlight()).toEqual([['9999-0'], []]);

    watch.ends();
    opened.resolve();
    await until('the other shard reads on', () => stored.length === 202);
    expect(await pipeline.drain(20_000)).toBe(true);
    expect(acknowledged).toHaveLength(202);
  });

  test('takes turns with one of another shard', async () => {
    const { pipeline, acknowledged, crashCounts } = setUp(
      [{ reads: [[poison(1), poison(2)]] }, { reads: [[poison(1), poison(3)]] }],
      {
        onInterpret(shard, one) {
          taken.push(`${shard}:${one.id}`);
        },
      },
    );
    const taken: string[] = [];
    pipeline.start();
    await until('all are done', () => acknowledged.length === 4);

    expect(taken.toSorted()).toEqual(['0:1-0', '0:2-0', '1:1-0', '1:3-0']);
    await until('the crash counts are removed', () => crashCounts.size === 0);
    expect(await pipeline.drain(20_000)).toBe(true);
  });

  test('does not wait for entries of another shard that only its node keeps from being acknowledged', async () => {
    let isAway = true;
    const { pipeline, acknowledged } = setUp([
      { reads: [[], [], [], [], [poison(5)]] },
      { reads: [[entry(1)]], isAway: () => isAway, readsFail: () => false },
    ]);
    pipeline.start();
    await until('the poison entry is done', () => acknowledged.includes('0:5-0'));

    expect(acknowledged).toEqual(['0:5-0']);
    isAway = false;
    expect(await pipeline.drain(20_000)).toBe(true);
  });

  test('does not stop the other shards while its own node is away', async () => {
    let isAway = true;
    const others = Array.from({ length: 30 }, (_, number) => [entry(number)]);
    const { pipeline, acknowledged, crashCounts } = setUp([
      { reads: [[poison(5)]], isAway: () => isAway, readsFail: () => false },
      { reads: others },
    ]);
    pipeline.start();
    await until('the other shard is read', () => acknowledged.length === 30);
    expect(acknowledged.every((id) => id.startsWith('1:'))).toBe(true);

    isAway = false;
    await until('the poison entry is done', () => acknowledged.includes('0:5-0'));
    await until('its crash count is removed', () => crashCounts.size === 0);
    expect(await pipeline.drain(20_000)).toBe(true);
  });
});

test('a kill switch pauses only its shard', async () => {
  const reads = Array.from({ length: 50 }, (_, number) => [entry(number)]);
  const { pipeline, acknowledged } = setUp([{ reads }, { reads }]);
  const [first] = pipeline.readings;
  first?.setPaused(true);
  pipeline.start();
  await until('the other shard is read', () => acknowledged.length === 50);
  expect(acknowledged.every((id) => id.startsWith('1:'))).toBe(true);

  first?.setPaused(false);
  await until('the paused shard is read', () => acknowledged.length === 100);
  expect(await pipeline.drain(20_000)).toBe(true);
});

test('a guard tells every listener of a change', async () => {
  const guarding = guard('redis');
  const heard: string[] = [];
  guarding.onChange(() => heard.push('one'));
  guarding.onChange(() => heard.push('two'));
  let calls = 0;
  await guarding.untilDone(() => {
    calls += 1;
    return calls === 1 ? Promise.reject(away) : Promise.resolve(true);
  }, new AbortController().signal);

  expect(heard).toEqual(['one', 'two', 'one', 'two']);
});
