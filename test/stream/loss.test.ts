import { describe, expect, test } from 'vitest';
import { DependencyError } from '../../src/core/types.ts';
import type { Consumer } from '../../src/stream/consumer.ts';
import { freshStream } from '../setup/database.ts';
import { connect, openConsumer } from './entries.ts';

/** A stream of `entries` entries, and a consumer whose group saw them come. */
async function setUp(entries: number) {
  const stream = freshStream();
  const redis = connect();
  const first = openConsumer(stream, { consumer: 'one' });
  await first.consumer.prepare();
  const add = async (count: number) => {
    for (let number = 0; number < count; number += 1) await redis.xadd(stream.key, '*', 'n', 'x');
  };
  await add(entries);
  const lag = async () => {
    const [group] = (await redis.xinfo('GROUPS', stream.key)) as unknown[][];
    return group?.[group.indexOf('lag') + 1];
  };
  return { stream, redis, add, lag, ...first };
}

async function readAll(consumer: Consumer): Promise<number> {
  let read = 0;
  for (let found = 1; found > 0; read += found) found = (await consumer.read(100)).length;
  return read;
}

describe('entries trimmed before anybody read them', () => {
  test('are counted exactly, and the lag is right again', async () => {
    const { stream, redis, consumer, heard, lag } = await setUp(10);
    await consumer.read(3);
    await redis.xtrim(stream.key, 'MAXLEN', 2);

    expect(await readAll(consumer)).toBe(2);
    expect(heard.lostUndelivered).toEqual([5]);
    expect(await lag()).toBe(0);
  });

  test('are counted once, whichever instance inspects the stream', async () => {
    const { stream, redis, consumer, heard } = await setUp(10);
    const other = openConsumer(stream, { consumer: 'two' });
    await redis.xtrim(stream.key, 'MAXLEN', 4);
    await Promise.all([consumer.read(1), other.consumer.read(1)]);
    await Promise.all([readAll(consumer), readAll(other.consumer)]);

    expect([...heard.lostUndelivered, ...other.heard.lostUndelivered]).toEqual([6]);
  });

  test('are counted when all of them went', async () => {
    const { stream, redis, add, consumer, heard } = await setUp(7);
    await redis.xtrim(stream.key, 'MAXLEN', 0);
    expect(await readAll(consumer)).toBe(0);
    await add(2);

    expect(await readAll(consumer)).toBe(2);
    expect(heard.lostUndelivered).toEqual([7]);
  });

  test('are not counted again after an instance of an earlier version, which leaves no note', async () => {
    const { stream, redis, add, consumer, heard } = await setUp(7);
    await readAll(consumer);
    await add(2);
    await redis.xtrim(stream.key, 'MAXLEN', 0);
    // How the earlier version counts the two as lost.
    const [group] = (await redis.xinfo('GROUPS', stream.key)) as unknown[][];
    const delivered = String(group?.[group.indexOf('last-delivered-id') + 1]);
    await redis.call('XGROUP', 'SETID', stream.key, stream.group, delivered, 'ENTRIESREAD', 9);

    await readAll(consumer);
    expect(heard.lostUndelivered).toEqual([]);
  });

  test('add up over several losses, and nothing is counted between them', async () => {
    const { stream, redis, add, consumer, heard } = await setUp(10);
    await redis.xtrim(stream.key, 'MAXLEN', 6);
    await consumer.read(2);
    await add(10);
    await redis.xtrim(stream.key, 'MAXLEN', 5);
    await readAll(consumer);
    await add(3);
    await readAll(consumer);

    // 4 of the first ten; then 4 of them were left unread and 10 came, of which 5 stayed.
    expect(heard.lostUndelivered).toEqual([4, 9]);
  });

  test('are none when only what was read is trimmed', async () => {
    const { stream, redis, add, consumer, heard } = await setUp(10);
    await readAll(consumer);
    await redis.xtrim(stream.key, 'MAXLEN', 0);
    await add(5);
    await consumer.read(2);
    await redis.xtrim(stream.key, 'MAXLEN', 3);
    await readAll(consumer);

    expect(heard.lostUndelivered).toEqual([]);
  });

  test('before the group was made are not of its loss', async () => {
    const stream = freshStream();
    const redis = connect();
    for (let number = 0; number < 10; number += 1) await redis.xadd(stream.key, '*', 'n', 'x');
    await redis.xtrim(stream.key, 'MAXLEN', 4);
    const { consumer, heard } = openConsumer(stream);
    await consumer.prepare();

    expect(await readAll(consumer)).toBe(4);
    expect(heard.lostUndelivered).toEqual([]);
  });

  test('in a group of another maker, whose count Redis does not know, are not guessed', async () => {
    const stream = freshStream();
    const redis = connect();
    for (let number = 0; number < 10; number += 1) await redis.xadd(stream.key, '*', 'n', 'x');
    await redis.xgroup('CREATE', stream.key, stream.group, '$');
    await redis.xadd(stream.key, '*', 'n', 'x');
    const { consumer, heard } = openConsumer(stream);

    expect(await readAll(consumer)).toBe(1);
    expect(heard.lostUndelivered).toEqual([]);
  });
});

test('a stream whose newest id went back is read from the start, and that is reported once', async () => {
  const { stream, redis, consumer, heard } = await setUp(0);
  await redis.xadd(stream.key, '5000-0', 'n', '1');
  await readAll(consumer);
  // As after a failover to a replica that had not seen the last entries.
  await redis.del(stream.key);
  await redis.xadd(stream.key, '3000-0', 'n', 'old');
  await redis.xgroup('CREATE', stream.key, stream.group, '5000-0');
  const other = openConsumer(stream, { consumer: 'two' });

  const read = (await readAll(consumer)) + (await readAll(other.consumer));

  expect(read).toBe(1);
  expect(heard.wentBack + other.heard.wentBack).toBe(1);
});

describe('the delivery count', () => {
  test('of a new entry is 1, of pending ones what Redis counted', async () => {
    const { stream, consumer } = await setUp(2);
    const [fresh] = await consumer.read(100);
    expect(fresh?.deliveries).toBe(1);
    consumer.close();
    const again = await openConsumer(stream).consumer.read(100);
    expect(again.map(({ deliveries }) => deliveries)).toEqual([2, 2]);
    const two = openConsumer(stream, { consumer: 'two', claimThresholdMs: 0 });
    expect((await two.consumer.read(1)).map(({ deliveries }) => deliveries)).toEqual([3]);
  });
});

describe('consumers that are idle', () => {
  const names = async (redis: ReturnType<typeof connect>, key: string, group: string) => {
    const found = (await redis.xinfo('CONSUMERS', key, group)) as unknown[][];
    return found.map((facts) => String(facts[facts.indexOf('name') + 1])).sort();
  };

  test('are removed when they hold nothing, never with pending entries, never oneself', async () => {
    const { stream, redis, consumer } = await setUp(1);
    await consumer.read(100); // "one" holds an entry
    const empty = openConsumer(stream, { consumer: 'empty' }).consumer;
    await empty.read(100);
    empty.close();
    await new Promise((resolve) => setTimeout(resolve, 20));

    const reaper = openConsumer(stream, { consumer: 'reaper', consumerIdleMs: 10 });
    await reaper.consumer.read(100);

    expect(reaper.heard.removed).toEqual(['empty']);
    expect(await names(redis, stream.key, stream.group)).toEqual(['one', 'reaper']);
    expect(Number((await redis.xpending(stream.key, stream.group))[0])).toBe(1);
  });

  test('are left alone below the limit', async () => {
    const { stream, redis, consumer } = await setUp(0);
    await consumer.read(100);
    const other = openConsumer(stream, { consumer: 'two' });
    await other.consumer.read(100);

    expect(other.heard.removed).toEqual([]);
    expect(await names(redis, stream.key, stream.group)).toEqual(['one', 'two']);
  });
});

test('a scan for entries of the dead is followed to its end', async () => {
  const { stream, consumer } = await setUp(250);
  await consumer.read(1000);
  const two = openConsumer(stream, { consumer: 'two', claimThresholdMs: 0 });
  let taken = 0;
  while (two.heard.claimRuns === 0) {
    try {
      taken += (await two.consumer.read(20)).length;
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
    }
  }
  expect(taken).toBe(250);
});
