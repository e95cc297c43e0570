import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import type { Rejection } from '../../src/core/types.ts';
import { type AcknowledgerOptions, createAcknowledger } from '../../src/stream/acknowledger.ts';
import { controlKeys } from '../../src/stream/control-keys.ts';
import { readDeadLetterTotals, watchDeadLetters } from '../../src/stream/dead-letter-totals.ts';
import { freshStream, redisUrl } from '../setup/database.ts';
import { connect, entryOf, moveAll, openConsumer } from './entries.ts';

const rejection: Rejection = {
  stage: 'validate',
  reason: 'ts_out_of_range',
  message: 'too old',
  recordIndex: 0,
  offset: null,
};

/** A dead-letter stream with these limits. Entries that are in no stream are moved too. */
async function limited(limits: { entries?: number; bytes?: number }) {
  const redis = connect(redisUrl());
  const stream = freshStream();
  await openConsumer(stream).consumer.prepare();
  const options: AcknowledgerOptions = {
    ...stream,
    deadLetterKey: `${stream.key}:dlq`,
    deadLetterMaxEntries: limits.entries ?? 1000,
    deadLetterStreamMaxBytes: limits.bytes ?? 1_000_000_000,
    instance: 'i1',
    maxFieldBytes: 65_536,
  };
  const acknowledger = createAcknowledger(() => Promise.resolve(redis), options, Date.now, {
    replaced() {},
  });
  let next = 0;
  return {
    redis,
    options,
    state: controlKeys(stream.key).deadLetters,
    async move(count: number, bytes: number) {
      const settled = Array.from({ length: count }, () => {
        next += 1;
        const entry = entryOf(['frame', Buffer.alloc(bytes, next)], `1-${next}`);
        return { entry, rejections: [rejection] };
      });
      await moveAll(acknowledger, settled);
    },
    watch: (change: { deadLetterMaxEntries?: number } = {}) =>
      watchDeadLetters(redis, { ...options, ...change }),
  };
}

/** Reads the contents of the dead-letter stream itself. */
async function held(redis: Redis, key: string) {
  const entries = await redis.xrangeBuffer(key, '-', '+');
  const bytes = entries.flatMap(([, fields]) => fields).reduce((sum, part) => sum + part.length, 0);
  return { entries: entries.length, bytes, ids: entries.map(([id]) => String(id)) };
}

describe('the limits of the dead-letter stream', () => {
  test('hold for bytes: the oldest are dropped, and each dropped one is counted', async () => {
    const { redis, options, move } = await limited({ bytes: 200_000 });

    await move(50, 10_000);

    const found = await held(redis, options.deadLetterKey);
    const totals = await readDeadLetterTotals(redis, options.key);
    expect(found.bytes).toBeLessThanOrEqual(200_000);
    expect(found.bytes).toBeGreaterThan(185_000);
    expect(totals).toMatchObject({ bytes: found.bytes, droppedEntries: 50 - found.entries });
    const [[, newest = []] = []] = await redis.xrevrange(
      options.deadLetterKey,
      '+',
      '-',
      'COUNT',
      1,
    );
    expect(newest.join(' ')).toContain('entry_id 1-50 ');
  });

  test('hold for entries, exactly', async () => {
    const { redis, options, move } = await limited({ entries: 7 });

    await move(20, 10);

    expect(await redis.xlen(options.deadLetterKey)).toBe(7);
    expect(await readDeadLetterTotals(redis, options.key)).toMatchObject({ droppedEntries: 13 });
  });

  test('keep the newest dead letter, even if it is larger than the limit', async () => {
    const { redis, options, move } = await limited({ bytes: 1000 });

    await move(3, 50_000);

    expect(await redis.xlen(options.deadLetterKey)).toBe(1);
  });

  test('drop as many small dead letters as a large one needs', async () => {
    const { redis, options, move } = await limited({ bytes: 200_000 });
    await move(300, 10);

    await move(4, 60_000);

    expect((await held(redis, options.deadLetterKey)).bytes).toBeLessThanOrEqual(200_000);
  });

  test('take effect without a new dead letter when they are lowered', async () => {
    const { redis, options, move, watch } = await limited({});
    await move(20, 10);

    const totals = await watch({ deadLetterMaxEntries: 5 });

    expect(await redis.xlen(options.deadLetterKey)).toBe(5);
    expect(totals.droppedEntries).toBe(15);
  });

  test('are enforced in steps of about 4 MiB, so that no step blocks Redis for long', async () => {
    const { redis, options, move, watch } = await limited({});
    await move(100, 60_000);

    const { droppedBytes } = await watch({ deadLetterMaxEntries: 1 });
    expect(droppedBytes).toBeGreaterThan(4_000_000);
    expect(droppedBytes).toBeLessThan(4_400_000);

    await watch({ deadLetterMaxEntries: 1 });
    expect(await redis.xlen(options.deadLetterKey)).toBe(1);
  });
});

describe('the count of bytes', () => {
  test('stays right when the limits drop entries that are not counted yet, after all counted ones were deleted', async () => {
    const { redis, options, move, watch } = await limited({ entries: 1500 });
    const key = options.deadLetterKey;
    await move(30, 5000);
    await redis.xdel(key, ...(await held(redis, key)).ids);
    const adding = redis.pipeline();
    for (let at = 0; at < 2000; at += 1) adding.xadd(key, '*', 'f:a', 'x');
    await adding.exec();

    await move(1, 10);
    let totals = await watch();
    while (totals.bytes === null) totals = await watch();

    expect(totals.bytes).toBe((await held(redis, key)).bytes);
  });

  test.each([
    [
      'an operator deletes entries',
      async (redis: Redis, key: string) => {
        const { ids } = await held(redis, key);
        await redis.xdel(key, ...ids.slice(3, 9));
      },
    ],
    [
      'another version adds and trims',
      async (redis: Redis, key: string) => {
        await redis.xadd(key, 'MAXLEN', '=', 10, '*', 'entry_id', '1-1', 'reason', 'x'.repeat(100));
      },
    ],
    ['the stream is deleted', (redis: Redis, key: string) => redis.del(key)],
    ['the count is deleted', (redis: Redis, _: string, state: string) => redis.del(state)],
    [
      'the count is nonsense',
      (redis: Redis, _: string, state: string) =>
        redis.hset(state, 'bytes', 'nan', 'counted_to', '-1'),
    ],
  ] as const)('is right again after %s', async (_, harm) => {
    const { redis, options, state, move, watch } = await limited({});
    await move(12, 50);

    await harm(redis, options.deadLetterKey, state);
    await move(2, 50);

    const { bytes } = await held(redis, options.deadLetterKey);
    expect((await watch()).bytes).toBe(bytes);
  });

  test('is that of the stream, whatever was done to it', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('move' as const), count: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ kind: fc.constant('foreign' as const), count: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('delete' as const), count: fc.nat(20) }),
      fc.record({ kind: fc.constant('trim' as const), count: fc.nat(20) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const { redis, options, move, watch } = await limited({ entries: 15, bytes: 6000 });
        const key = options.deadLetterKey;
        for (const { kind, count } of steps) {
          if (kind === 'move') await move(count, count * 40);
          else if (kind === 'trim') await redis.xtrim(key, 'MAXLEN', count);
          else if (kind === 'foreign') await redis.xadd(key, '*', 'a', 'x'.repeat(count));
          else {
            const id = (await held(redis, key)).ids.at(count);
            if (id !== undefined) await redis.xdel(key, id);
          }
        }
        const totals = await watch();
        const found = await held(redis, key);
        expect(totals.bytes).toBe(found.bytes);
        expect(found.entries).toBeLessThanOrEqual(15);
        expect(found.entries === 1 || found.bytes <= 6000).toBe(true);
        redis.disconnect();
      }),
      { numRuns: 25 },
    );
  });
});
