import { describe, expect, test } from 'vitest';
import { DependencyError, type Entry } from '../../src/core/types.ts';
import type { Consumer } from '../../src/stream/consumer.ts';
import { freshStream } from '../setup/database.ts';
import { connect, openConsumer, readerName } from './entries.ts';

function numbers(entries: readonly Entry[]): string[] {
  return entries.map(({ fields }) => fields.text(0));
}

function sources(entries: readonly Entry[]): string[] {
  return [...new Set(entries.map(({ source }) => source))];
}

async function setUp(entries: number) {
  const stream = freshStream();
  const redis = connect();
  const add = async (from: number, to: number) => {
    for (let number = from; number <= to; number += 1) {
      await redis.xadd(stream.key, '*', 'n', String(number));
    }
  };
  await add(1, entries);
  const pending = async () => Number((await redis.xpending(stream.key, stream.group))[0]);
  return { stream, redis, add, pending };
}

/** Reads until something comes; a connection that is down may fail a few times before. */
async function readSomething(consumer: Consumer, limit = 100): Promise<readonly Entry[]> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    try {
      const entries = await consumer.read(limit);
      if (entries.length > 0) return entries;
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
    }
  }
  throw new Error('nothing came in 50 reads');
}

async function killReader(redis: ReturnType<typeof connect>, name: string): Promise<void> {
  const list = String(await redis.client('LIST'));
  const line = list.split('\n').find((one) => one.includes(`name=${name} `));
  expect(await redis.client('KILL', 'ID', Number(/^id=(\d+)/.exec(line ?? '')?.[1]))).toBe(1);
}

describe('prepare', () => {
  test('creates the stream and the group, at its start; safe twice', async () => {
    const { stream, redis } = await setUp(0);
    const { consumer } = openConsumer(stream);

    await consumer.prepare();
    await consumer.prepare();

    expect(await redis.exists(stream.key)).toBe(1);
    expect(await redis.xinfo('GROUPS', stream.key)).toHaveLength(1);
  });

  test('a key of another type waits for a person', async () => {
    const { stream, redis } = await setUp(0);
    await redis.set(stream.key, 'text');
    const { consumer } = openConsumer(stream);

    await expect(consumer.prepare()).rejects.toMatchObject({
      name: 'DependencyError',
      kind: 'configuration',
      code: 'WRONGTYPE',
    });
  });

  test('a missing Redis is unavailable', async () => {
    const { consumer } = openConsumer(freshStream(), { url: 'redis://127.0.0.1:1' });

    await expect(consumer.prepare()).rejects.toMatchObject({
      name: 'DependencyError',
      dependency: 'redis',
      kind: 'unavailable',
    });
  });
});

describe('reading', () => {
  test('entries from before the group existed come too, in order, up to the limit', async () => {
    const { stream } = await setUp(5);
    const { consumer } = openConsumer(stream);
    await consumer.prepare();

    const first = await consumer.read(3);
    const second = await consumer.read(3);

    expect([numbers(first), numbers(second)]).toEqual([
      ['1', '2', '3'],
      ['4', '5'],
    ]);
    expect(sources([...first, ...second])).toEqual(['new']);
  });

  test('nothing new is an empty answer', async () => {
    const { stream } = await setUp(0);
    const { consumer } = openConsumer(stream);
    await consumer.prepare();

    expect(await consumer.read(10)).toEqual([]);
  });

  test('fields arrive byte for byte, with their size', async () => {
    const { stream, redis } = await setUp(0);
    const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    await redis.xadd(stream.key, '1-2', Buffer.from([0xff]), value);
    const { consumer } = openConsumer(stream);
    await consumer.prepare();

    const [entry] = await consumer.read(10);
    expect(entry).toMatchObject({ id: '1-2', source: 'new', deliveries: 1, bytes: 257 });
    expect(entry?.fields.parts()).toEqual([Buffer.from([0xff]), value]);
  });

  test('two consumers of the group share the entries, none comes twice', async () => {
    const { stream } = await setUp(10);
    const one = openConsumer(stream, { consumer: 'one' }).consumer;
    const two = openConsumer(stream, { consumer: 'two' }).consumer;
    await one.prepare();

    const read = [...(await one.read(4)), ...(await two.read(100)), ...(await one.read(100))];

    expect(numbers(read).sort((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: 10 }, (_, index) => String(index + 1)),
    );
  });
});

describe('own pending entries', () => {
  test('come first after a restart, in steps of the limit, then new ones', async () => {
    const { stream, add } = await setUp(3);
    const before = openConsumer(stream).consumer;
    await before.prepare();
    await before.read(100);
    before.close();
    await add(4, 5);

    const { consumer } = openConsumer(stream);
    const reads = [await consumer.read(2), await consumer.read(2), await consumer.read(2)];

    expect(reads.map(numbers)).toEqual([['1', '2'], ['3'], ['4', '5']]);
    expect(reads.map(sources)).toEqual([['own_pending'], ['own_pending'], ['new']]);
  });

  test('are announced before they are read, and so is a claim; new ones are not', async () => {
    const { stream, add } = await setUp(1);
    const { consumer } = openConsumer(stream, { claimIntervalMs: 3_600_000 });
    await consumer.prepare();
    let announced = 0;
    const count = () => {
      announced += 1;
    };

    expect((await consumer.read(100, count)).map(({ source }) => source)).toEqual(['new']);
    expect(announced).toBe(2);
    await add(2, 2);
    expect((await consumer.read(100, count)).map(({ source }) => source)).toEqual(['new']);
    expect(announced).toBe(2);
  });

  test('come first after the connection was lost', async () => {
    const { stream, redis, add } = await setUp(3);
    const { consumer, heard } = openConsumer(stream);
    await consumer.prepare();
    await consumer.read(100);
    await killReader(redis, readerName(stream.key, 'one'));
    await add(4, 4);

    const again = await readSomething(consumer);
    const more = await readSomething(consumer);

    expect([numbers(again), sources(again)]).toEqual([['1', '2', '3'], ['own_pending']]);
    expect([numbers(more), sources(more)]).toEqual([['4'], ['new']]);
    expect(heard.connections.length).toBeGreaterThan(2);
  });

  test('that were acknowledged do not come again', async () => {
    const { stream, redis } = await setUp(3);
    const before = openConsumer(stream).consumer;
    await before.prepare();
    const [first] = await before.read(100);
    await redis.xack(stream.key, stream.group, first?.id ?? '');

    expect(numbers(await openConsumer(stream).consumer.read(100))).toEqual(['2', '3']);
  });

  test('that were trimmed are reported and acknowledged, and the other entries are read', async () => {
    const { stream, redis, pending } = await setUp(3);
    const before = openConsumer(stream).consumer;
    await before.prepare();
    const read = await before.read(100);
    await redis.xtrim(stream.key, 'MAXLEN', 1);

    const { consumer, heard } = openConsumer(stream);

    expect(numbers(await consumer.read(100))).toEqual(['3']);
    expect(heard.lost).toEqual(read.slice(0, 2).map(({ id }) => id));
    expect(await pending()).toBe(1);
  });
});

describe('a group that is gone', () => {
  test.each(['DEL', 'DESTROY'] as const)(
    'after %s it is recreated at the start of the stream, and new entries are read',
    async (how) => {
      const { stream, redis, add } = await setUp(2);
      const { consumer, heard } = openConsumer(stream);
      await consumer.prepare();
      await consumer.read(100);
      if (how === 'DEL') await redis.del(stream.key);
      else await redis.xgroup('DESTROY', stream.key, stream.group);
      await add(3, 4);

      const entries = await readSomething(consumer);

      expect(numbers(entries)).toEqual(how === 'DEL' ? ['3', '4'] : ['1', '2', '3', '4']);
      expect(sources(entries)).toEqual(['new']);
      expect(heard.recreated).toBe(1);
    },
  );

  test('a stream deleted while a read blocks on it is recreated too', async () => {
    const { stream, redis } = await setUp(0);
    const { consumer, heard } = openConsumer(stream);
    await consumer.prepare();
    const reading = consumer.read(100);
    await redis.del(stream.key);
    await reading;
    await consumer.read(100);

    expect(heard.recreated).toBe(1);
    expect(await redis.xinfo('GROUPS', stream.key)).toHaveLength(1);
  });
});

describe('entries of another instance', () => {
  test('that is gone are taken over, within the limit', async () => {
    const { stream } = await setUp(5);
    const gone = openConsumer(stream, { consumer: 'gone' }).consumer;
    await gone.prepare();
    await gone.read(100);
    const { consumer, heard } = openConsumer(stream, { consumer: 'two', claimThresholdMs: 0 });

    const taken = await consumer.read(3);

    expect([numbers(taken), sources(taken)]).toEqual([['1', '2', '3'], ['claimed']]);
    expect(numbers(await consumer.read(3))).toEqual(['4', '5']);
    expect(heard.claimed).toBe(5);
  });

  test('that is at work are left to it', async () => {
    const { stream } = await setUp(5);
    const busy = openConsumer(stream, { consumer: 'busy' }).consumer;
    await busy.prepare();
    await busy.read(100);
    const { consumer, heard } = openConsumer(stream, { consumer: 'two' });

    expect(await consumer.read(100)).toEqual([]);
    expect(heard.claimed).toBe(0);
  });

  test('that were trimmed are reported and no longer pending', async () => {
    const { stream, redis, pending } = await setUp(3);
    const gone = openConsumer(stream, { consumer: 'gone' }).consumer;
    await gone.prepare();
    const read = await gone.read(100);
    await redis.xtrim(stream.key, 'MAXLEN', 1);
    const { consumer, heard } = openConsumer(stream, { consumer: 'two', claimThresholdMs: 0 });

    expect(numbers(await consumer.read(100))).toEqual(['3']);
    expect(heard.lost).toEqual(read.slice(0, 2).map(({ id }) => id));
    expect(await pending()).toBe(1);
  });

  test('that is at work are left to it also when they were trimmed: it may still store them', async () => {
    const { stream, redis, pending } = await setUp(3);
    const busy = openConsumer(stream, { consumer: 'busy' }).consumer;
    await busy.prepare();
    await busy.read(100);
    await redis.xtrim(stream.key, 'MAXLEN', 0);
    const { consumer, heard } = openConsumer(stream, { consumer: 'two' });

    expect(await consumer.read(100)).toEqual([]);
    expect(heard.lost).toEqual([]);
    expect(await pending()).toBe(3);
  });
});
