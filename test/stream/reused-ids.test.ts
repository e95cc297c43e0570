import type { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Entry, Rejection } from '../../src/core/types.ts';
import { createAcknowledger, type Settled } from '../../src/stream/acknowledger.ts';
import { historyOf } from '../../src/stream/ground.ts';
import { infoField } from '../../tools/servers/ask.ts';
import { startRedis } from '../../tools/servers/servers.ts';
import { eventually } from '../../tools/service.ts';
import { freshStream, redisUrl } from '../setup/database.ts';
import { acknowledged, connect, moveAll, openConsumer } from './entries.ts';

const rejection: Rejection = {
  stage: 'validate',
  reason: 'ts_out_of_range',
  message: 'too old',
  recordIndex: 3,
  offset: null,
};
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

type Fields = readonly (string | Buffer)[];

/**
 * Entries `1-1`, `2-1` … that consumer `one` was delivered; then the stream as a failover leaves it:
 * made again with other entries, which consumer `two` was delivered.
 */
async function afterFailover(
  before: readonly Fields[],
  after: readonly (Fields | null)[],
  url = redisUrl(),
) {
  const stream = freshStream();
  const redis = connect(url);
  const one = openConsumer(stream, { url });
  const two = openConsumer(stream, { url, consumer: 'two' });
  const add = async (entries: readonly (Fields | null)[]) => {
    for (const [index, fields] of entries.entries()) {
      if (fields !== null) await redis.xadd(stream.key, `${index + 1}-1`, ...fields);
    }
  };
  await one.consumer.prepare();
  await add(before);
  const held = await one.consumer.read(1000);
  await redis.del(stream.key);
  await two.consumer.prepare();
  await add(after);
  const delivered = await two.consumer.read(1000);
  const heard: number[] = [];
  const acknowledger = acknowledgerOf(one.shared, stream, (entries) => heard.push(entries));
  return {
    redis,
    stream,
    shared: one.shared,
    /** Numbers of entries that were reported as replaced. */
    heard,
    held,
    delivered,
    acknowledge: (entries: readonly Entry[], isReplaced = false) =>
      acknowledger.acknowledge(entries.map((entry) => ({ ...acknowledged(entry), isReplaced }))),
    move: (entries: readonly Entry[]) =>
      moveAll(
        acknowledger,
        entries.map((entry): Settled => ({ entry, rejections: [rejection] })),
      ),
    pending: () => pendingIds(redis, stream),
    deadLetters: async () => (await redis.xrange(`${stream.key}:dlq`, '-', '+')).map(subject),
  };
}

function acknowledgerOf(
  connected: () => Promise<Redis>,
  stream: { readonly key: string; readonly group: string },
  replaced: (entries: number) => void = () => {},
) {
  const options = {
    ...stream,
    deadLetterKey: `${stream.key}:dlq`,
    deadLetterMaxEntries: 1000,
    deadLetterStreamMaxBytes: 1_000_000_000,
    instance: 'i1',
    maxFieldBytes: 2048,
  };
  return createAcknowledger(connected, options, Date.now, { replaced });
}

async function pendingIds(redis: Redis, { key, group }: { key: string; group: string }) {
  const found = await redis.xpending(key, group, '-', '+', 10_000);
  return found.map((one) => String(Array.isArray(one) ? one[0] : one));
}

/** The entry of a dead letter: its id and its first value. */
function subject([, fields]: [string, string[]]): string {
  const value = (name: string) => fields[fields.indexOf(name) + 1];
  return `${value('entry_id')} ${value('f:a')}`;
}

/** As if they had been read before the failover. */
function lost(entries: readonly Entry[]): readonly Entry[] {
  return entries.map((entry) => ({ ...entry, history: 'before the failover' }));
}

describe('the acknowledgement of entries that were read before a failover', () => {
  test('leaves the entry pending that has the id now', async () => {
    const before = [
      ['a', '1'],
      ['a', '2'],
      ['a', everyByte, '', ''],
      ['a', '4'],
    ] as const;
    const after = [
      ['a', 'other'],
      ['a', '2'],
      ['a', everyByte, '', ''],
      ['a', '4', 'b', ''],
    ];
    const { held, heard, acknowledge, pending } = await afterFailover(before, after);
    expect(held).toHaveLength(4);

    await acknowledge(lost(held));
    await acknowledge(lost(held));

    expect(await pending()).toEqual(['1-1', '4-1']);
    expect(heard).toEqual([2, 2]);
  });

  test('tells names and values apart that are the same bytes when joined', async () => {
    const { held, acknowledge, pending } = await afterFailover([['a', 'bc']], [['ab', 'c']]);

    await acknowledge(lost(held));

    expect(await pending()).toEqual(['1-1']);
  });

  test('settles an id whose entry was trimmed, which would stay pending', async () => {
    const { redis, stream, held, acknowledge, pending } = await afterFailover(
      [['a', '1']],
      [['a', '1']],
    );
    await redis.xtrim(stream.key, 'MAXLEN', 0);
    expect(await pending()).toEqual(['1-1']);

    await acknowledge(lost(held));

    expect(await pending()).toEqual([]);
  });

  test('takes many entries and large ones', async () => {
    const large = (index: number) => (index % 50 === 0 ? 'x'.repeat(700_000) : `${index}`);
    const before = Array.from({ length: 230 }, (_, index) => ['a', large(index)]);
    const after = before.map(([, value], index) =>
      index % 10 === 0 ? ['a', `${value}!`] : ['a', `${value}`],
    );
    const { held, acknowledge, pending } = await afterFailover(before, after);

    await acknowledge(lost(held));

    const other = after.flatMap((_, index) => (index % 10 === 0 ? [`${index + 1}-1`] : []));
    expect(await pending()).toEqual(other);
  });

  test('does not compare those of the history that the connection leads to', async () => {
    const { held, delivered, shared, acknowledge, pending } = await afterFailover(
      [['a', '1']],
      [
        ['a', 'other'],
        ['a', '2'],
      ],
    );
    const history = historyOf(await shared());
    expect(history).toMatch(/^[0-9a-f]{40}$/);
    expect([...held, ...delivered].map((entry) => entry.history)).toEqual(Array(3).fill(history));

    await acknowledge(held);

    expect(await pending()).toEqual(['2-1']);
  });

  test('compares where the history is unknown, and where the instance has read the other entry', async () => {
    const { held, acknowledge, pending } = await afterFailover(
      [
        ['a', '1'],
        ['a', '2'],
      ],
      [
        ['a', 'other'],
        ['a', '2'],
      ],
    );

    await acknowledge(held, true);
    expect(await pending()).toEqual(['1-1']);
    await acknowledge(held.map((entry) => ({ ...entry, history: null })));
    expect(await pending()).toEqual(['1-1']);
  });

  test('compares although the server is the same, if it was not the primary meanwhile', async () => {
    const [first, second] = [await startRedis(), await startRedis()];
    onTestFinished(async () => {
      await first.stop();
      await second.stop();
    });
    const stream = freshStream();
    const one = openConsumer(stream, { url: first.url });
    const two = openConsumer(stream, { url: second.url, consumer: 'two' });
    const admin = connect(first.url);
    const deliver = async ({ consumer }: typeof one, url: string, value: string) => {
      await consumer.prepare();
      await connect(url).xadd(stream.key, '1-1', 'a', value);
      return await consumer.read(10);
    };
    const held = await deliver(one, first.url, 'lost');
    expect(await deliver(two, second.url, 'kept')).toHaveLength(1);
    const runId = infoField(await admin.info('server'), 'run_id');

    await admin.replicaof('127.0.0.1', second.port);
    await eventually('the other history is copied', async () =>
      infoField(await admin.info('replication'), 'master_link_status') === 'up' ? true : undefined,
    );
    await admin.replicaof('NO', 'ONE');
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');

    const { acknowledge } = acknowledgerOf(one.shared, stream);
    await eventually('the connection is back', async () =>
      acknowledge(held.map(acknowledged)).then(
        () => true,
        () => undefined,
      ),
    );
    expect(infoField(await admin.info('server'), 'run_id')).toBe(runId);
    expect(await pendingIds(admin, stream)).toEqual(['1-1']);
  });
});

describe('the dead letter of an entry that was read before a failover', () => {
  test('is written once, and the entry that has the id now stays pending and gets its own', async () => {
    const { held, heard, delivered, move, pending, deadLetters } = await afterFailover(
      [['a', 'lost']],
      [['a', 'kept']],
    );

    await move(held);
    await move(held);
    expect(await deadLetters()).toEqual(['1-1 lost']);
    expect(await pending()).toEqual(['1-1']);
    await move(delivered);
    await move(delivered);
    await move(held);

    expect(await deadLetters()).toEqual(['1-1 lost', '1-1 kept']);
    expect(heard).toEqual([1]);
    expect(await pending()).toEqual([]);
  });

  test('is written also after that of the entry that has the id now', async () => {
    const { held, delivered, move, pending, deadLetters } = await afterFailover(
      [['a', 'lost']],
      [['a', 'kept']],
    );

    await move(delivered);
    await move(held);
    await move(held);

    expect(await deadLetters()).toEqual(['1-1 kept', '1-1 lost']);
    expect(await pending()).toEqual([]);
  });

  test('does not stand for that of the entry that had the id and was trimmed', async () => {
    const { redis, stream, held, delivered, move, deadLetters } = await afterFailover(
      [['a', 'lost']],
      [['a', 'kept']],
    );
    await redis.xtrim(stream.key, 'MAXLEN', 0);

    await move(held);
    await move(delivered);
    await move(held);
    await move(delivered);

    expect(await deadLetters()).toEqual(['1-1 lost', '1-1 kept']);
  });

  test('is one where the entry was not lost', async () => {
    const { held, delivered, move, pending, deadLetters } = await afterFailover(
      [['a', 'x'.repeat(300_000)]],
      [['a', 'x'.repeat(300_000)]],
    );

    await move(lost(held));
    await move(delivered);

    expect(await deadLetters()).toHaveLength(1);
    expect(await pending()).toEqual([]);
  });
});
