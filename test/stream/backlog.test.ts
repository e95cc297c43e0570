import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { sampleBacklog } from '../../src/stream/backlog.ts';
import { freshStream } from '../setup/database.ts';
import { connect } from './entries.ts';

async function setUp() {
  const redis = connect();
  const stream = freshStream();
  const options = { ...stream, deadLetterKey: `${stream.key}:dlq` };
  await redis.xgroup('CREATE', stream.key, stream.group, '0', 'MKSTREAM');
  return {
    redis,
    options,
    add: (many: number) => addEntries(redis, stream.key, many),
    deliver: (many: number) => deliverEntries(redis, stream, many),
    sample: (nowMs = Date.now()) => sampleBacklog(redis, options, nowMs),
  };
}

async function addEntries(redis: Redis, key: string, many: number): Promise<void> {
  for (let count = 0; count < many; count += 1) await redis.xadd(key, '*', 'n', String(count));
}

async function deliverEntries(
  redis: Redis,
  { key, group }: { key: string; group: string },
  many: number,
): Promise<void> {
  await redis.xreadgroup('GROUP', group, 'one', 'COUNT', many, 'STREAMS', key, '>');
}

test('a stream nothing was ever written to says so', async () => {
  const { add, sample, redis, options } = await setUp();

  expect(await sample()).toEqual({
    length: 0,
    neverWritten: true,
    lag: 0,
    lagAgeMs: 0,
    pending: 0,
    pendingOldestMs: 0,
    idFault: null,
    deadLetters: 0,
    deadLetterOldestMs: 0,
  });
  await add(1);
  await redis.xtrim(options.key, 'MAXLEN', 0);
  expect(await sample()).toMatchObject({ length: 0, neverWritten: false, lag: 0 });
});

describe('the lag', () => {
  test('is 0 when all were delivered, though they are not acknowledged', async () => {
    const { add, deliver, sample } = await setUp();
    await add(5);
    await deliver(5);

    expect(await sample()).toMatchObject({ length: 5, lag: 0, lagAgeMs: 0, pending: 5 });
  });

  test('is what was not delivered', async () => {
    const { add, deliver, sample } = await setUp();
    await add(10);
    await deliver(4);

    expect(await sample()).toMatchObject({ lag: 6, pending: 4 });
  });

  test('is exact after undelivered entries were trimmed', async () => {
    const { redis, options, add, deliver, sample } = await setUp();
    await add(10);
    await deliver(6);
    await redis.xtrim(options.key, 'MAXLEN', 2);

    expect(await sample()).toMatchObject({ length: 2, lag: 2 });
  });

  test('is exact after one entry in the middle was deleted', async () => {
    const { redis, options, add, deliver, sample } = await setUp();
    await add(10);
    await deliver(3);
    const [[id = ''] = []] = (await redis.xrange(options.key, '-', '+')).slice(6, 7);
    await redis.xdel(options.key, id);

    expect(await sample()).toMatchObject({ lag: 6 });
  });

  test('is exact after undelivered entries were trimmed and delivery went on', async () => {
    const { redis, options, add, deliver, sample } = await setUp();
    await add(20);
    await deliver(2);
    await redis.xtrim(options.key, 'MAXLEN', 15);
    await deliver(5);

    expect(await sample()).toMatchObject({ length: 15, lag: 10 });
  });

  test('of thousands is known too', async () => {
    const { redis, options, deliver, sample } = await setUp();
    const adding = redis.pipeline();
    for (let count = 0; count < 3000; count += 1) adding.xadd(options.key, '*', 'n', '1');
    await adding.exec();
    await deliver(500);

    expect(await sample()).toMatchObject({ length: 3000, lag: 2500 });
  });

  test('is never wrong, whatever was added, delivered, trimmed, deleted or set', async () => {
    const amount = fc.integer({ min: 1, max: 6 });
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), many: amount }),
      fc.record({ do: fc.constant('deliver' as const), many: amount }),
      fc.record({ do: fc.constant('trim' as const), many: fc.integer({ min: 0, max: 8 }) }),
      fc.record({ do: fc.constant('delete' as const), many: fc.integer({ min: 0, max: 8 }) }),
      fc.record({ do: fc.constant('set' as const), many: fc.integer({ min: 0, max: 8 }) }),
    );
    const redis = connect();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
        const stream = freshStream();
        const { key, group } = stream;
        await redis.xgroup('CREATE', key, group, '0', 'MKSTREAM');
        let delivered = '0-0';
        for (const { do: what, many } of steps) {
          const entries = await redis.xrange(key, '-', '+');
          const id = entries[many]?.[0];
          if (what === 'add') await addEntries(redis, key, many);
          if (what === 'trim') await redis.xtrim(key, 'MAXLEN', many);
          if (what === 'delete' && id !== undefined) await redis.xdel(key, id);
          if (what === 'set' && id !== undefined) {
            await redis.xgroup('SETID', key, group, id);
            delivered = id;
          }
          if (what === 'deliver') {
            const ahead = await redis.xrange(key, `(${delivered}`, '+', 'COUNT', many);
            await deliverEntries(redis, stream, many);
            delivered = ahead.at(-1)?.[0] ?? delivered;
          }
        }
        const ahead = await redis.xrange(key, `(${delivered}`, '+');
        const options = { ...stream, deadLetterKey: `${key}:dlq` };
        const { lag } = await sampleBacklog(redis, options, Date.now());
        expect(lag).toBe(ahead.length);
        await redis.del(key);
      }),
      { numRuns: 150 },
    );
  });
});

test('ages are those of the oldest undelivered, pending and dead-lettered entries', async () => {
  const { redis, options, deliver, sample } = await setUp();
  for (const id of ['1000-0', '2000-0', '3000-0', '4000-0']) {
    await redis.xadd(options.key, id, 'a', '1');
  }
  await redis.xadd(options.deadLetterKey, '500-0', 'a', '1');
  await redis.xadd(options.deadLetterKey, '600-0', 'a', '1');
  await deliver(2);

  expect(await sample(10_000)).toMatchObject({
    lag: 2,
    lagAgeMs: 7000,
    pending: 2,
    pendingOldestMs: 9000,
    deadLetters: 2,
    deadLetterOldestMs: 9500,
  });
});

test('a clock behind that of Redis makes no negative age', async () => {
  const { add, sample } = await setUp();
  await add(1);

  expect(await sample(Date.now() - 60_000)).toMatchObject({ lag: 1, lagAgeMs: 0 });
});

test('a missing stream or group is an error, not a lag of 0', async () => {
  const { redis, options, sample } = await setUp();
  await redis.xgroup('DESTROY', options.key, options.group);
  await expect(sample()).rejects.toMatchObject({ name: 'DependencyError', code: 'NOGROUP' });
  await redis.del(options.key);
  await expect(sample()).rejects.toMatchObject({ name: 'DependencyError' });
});
