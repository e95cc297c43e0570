import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { sampleBacklog } from '../../src/stream/backlog.ts';
import type { Consumer } from '../../src/stream/consumer.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { eventually } from '../../tools/service.ts';
import { type Heard, openConsumer } from './entries.ts';

const stream = { key: 'telemetry:teltonika', group: 'processor' };
const counter = `${stream.key}:control:counter`;

async function realRedis(args: readonly string[] = []): Promise<LocalServer> {
  // Every second, a write may wait for a slow disk for two, and a kill would lose it.
  const server = await startRedis({
    durability: 'real',
    args: ['--appendfsync', 'always', ...args],
  });
  onTestFinished(() => server.stop());
  return server;
}

function client(server: LocalServer): Redis {
  const redis = new Redis(server.url);
  redis.on('error', () => {});
  onTestFinished(() => redis.disconnect());
  return redis;
}

async function add(redis: Redis, count: number): Promise<void> {
  const adding = redis.pipeline();
  for (let number = 0; number < count; number += 1) adding.xadd(stream.key, '*', 'n', 'x');
  await adding.exec();
}

async function readAll(consumer: Consumer): Promise<number> {
  let read = 0;
  for (let found = 1; found > 0; read += found) found = (await consumer.read(100)).length;
  return read;
}

const consumerOf = (server: LocalServer, consumer = 'one') =>
  openConsumer(stream, { consumer, url: server.url });

async function lagOf(redis: Redis): Promise<number | null> {
  const options = { ...stream, deadLetterKey: `${stream.key}:dlq` };
  return (await sampleBacklog(redis, options, Date.now())).lag;
}

/** What was lost, as several consumers reported it. */
const lost = (...heard: Heard[]) => ({
  counted: heard.flatMap(({ lostUndelivered }) => lostUndelivered),
  uncertain: heard.flatMap(({ uncertain }) => uncertain),
});
const nothing = { counted: [], uncertain: [] };

/** 60 entries, read and acknowledged, of which 50 were trimmed; the consumer has looked since. */
async function readSixty(server: LocalServer): Promise<Redis> {
  const redis = client(server);
  const { consumer, heard } = consumerOf(server);
  await consumer.prepare();
  await add(redis, 60);
  expect(await readAll(consumer)).toBe(60);
  consumer.close();
  const ids = (await redis.xrange(stream.key, '-', '+')).map(([id]) => id);
  await redis.xack(stream.key, stream.group, ...ids);
  await redis.xtrim(stream.key, 'MAXLEN', 10);
  expect(lost(heard)).toEqual(nothing);
  return redis;
}

describe.each(['SIGTERM', 'SIGKILL'] as const)(
  'after Redis was ended by %s and started',
  (signal) => {
    async function restart(server: LocalServer): Promise<Redis> {
      await server.kill(signal);
      await server.restart();
      return client(server);
    }

    test('nothing that was read is counted as lost', async () => {
      const server = await realRedis();
      await readSixty(server);
      const redis = await restart(server);
      const { consumer, heard } = consumerOf(server);
      await readAll(consumer);
      await add(redis, 5);

      expect(await readAll(consumer)).toBe(5);
      expect(lost(heard)).toEqual(nothing);
    });

    test.each(['before', 'after'])(
      'a real loss is counted exactly and once over two instances, trimmed %s the restart',
      async (when) => {
        const server = await realRedis();
        const before = await readSixty(server);
        await add(before, 20);
        if (when === 'before') await before.xtrim(stream.key, 'MAXLEN', 7);
        const redis = await restart(server);
        if (when === 'after') await redis.xtrim(stream.key, 'MAXLEN', 7);
        const [one, two] = [consumerOf(server), consumerOf(server, 'two')];
        const read = await Promise.all([readAll(one.consumer), readAll(two.consumer)]);

        expect(read[0] + read[1]).toBe(7);
        expect(lost(one.heard, two.heard)).toEqual({ counted: [13], uncertain: [] });
      },
    );

    test('a loss after the restart is counted, though reading was in the middle of the stream', async () => {
      const server = await realRedis();
      const before = await readSixty(server);
      await add(before, 50);
      const first = consumerOf(server);
      await first.consumer.read(1);
      await first.consumer.read(20);
      first.consumer.close();
      const redis = await restart(server);
      const second = consumerOf(server, 'two');
      await second.consumer.read(5);
      await redis.xtrim(stream.key, 'MAXLEN', 10);
      await readAll(second.consumer);

      // 50 added, 26 of them read, 10 left.
      expect(lost(first.heard, second.heard)).toEqual({ counted: [14], uncertain: [] });
    });

    test('a lag of thousands is right or unknown, never wrong', async () => {
      const server = await realRedis();
      const before = client(server);
      const first = consumerOf(server);
      await first.consumer.prepare();
      await add(before, 30_000);
      for (let read = 0; read < 6000; ) read += (await first.consumer.read(1000)).length;
      expect(await lagOf(before)).toBe(24_000);
      first.consumer.close();
      const redis = await restart(server);

      expect([null, 24_000]).toContain(await lagOf(redis));
      const second = consumerOf(server, 'two');
      await second.consumer.read(1000);
      await second.consumer.read(1000);
      expect([null, 22_000]).toContain(await lagOf(redis));
      await second.consumer.read(1000);
      expect(await lagOf(redis)).toBe(21_000);
      expect(lost(second.heard)).toEqual(nothing);
    });
  },
);

describe('an instance that read and crashed before its next inspection, with every entry trimmed', () => {
  async function readAndDie(count: number, isAcknowledged: boolean) {
    const server = await realRedis();
    const before = await readSixty(server);
    await add(before, 20);
    const words = ['GROUP', stream.group, 'gone', 'COUNT', String(count), 'STREAMS', stream.key];
    await before.call('XREADGROUP', ...words, '>');
    const ids = (await before.xrange(stream.key, '-', '+')).map(([id]) => id);
    if (isAcknowledged) await before.xack(stream.key, stream.group, ...ids);
    await before.xtrim(stream.key, 'MAXLEN', 2);
    await server.kill('SIGKILL');
    await server.restart();
    const { consumer, heard } = consumerOf(server);
    expect(await readAll(consumer)).toBe(2);
    return lost(heard);
  }

  test('is reported with a maximum loss that excludes pending entries', async () => {
    expect(await readAndDie(5, false)).toEqual({ counted: [], uncertain: [13] });
    expect(await readAndDie(5, true)).toEqual({ counted: [], uncertain: [18] });
  });

  test('is no loss when all that was trimmed is still pending', async () => {
    expect(await readAndDie(18, false)).toEqual(nothing);
  });
});

test('a promoted replica counts no read entry as lost, and a real loss once', async () => {
  const primary = await realRedis();
  const replica = await realRedis(['--replicaof', '127.0.0.1', String(primary.port)]);
  const copy = client(replica);
  await eventually('the replica follows', async () =>
    (await copy.info('replication')).includes('master_link_status:up') ? true : undefined,
  );
  const before = await readSixty(primary);
  await add(before, 20);
  await before.wait(1, 10_000);
  await primary.kill('SIGKILL');
  await copy.replicaof('NO', 'ONE');
  await copy.xtrim(stream.key, 'MAXLEN', 7);
  const [one, two] = [consumerOf(replica), consumerOf(replica, 'two')];
  const read = await Promise.all([readAll(one.consumer), readAll(two.consumer)]);

  expect(read[0] + read[1]).toBe(7);
  expect(lost(one.heard, two.heard)).toEqual({ counted: [13], uncertain: [] });
});

test('a group of an earlier version, without a note, reports nothing and is counted from then on', async () => {
  const server = await realRedis();
  const redis = await readSixty(server);
  await redis.del(counter);
  await server.kill('SIGTERM');
  await server.restart();
  const again = client(server);
  const { consumer, heard } = consumerOf(server);
  await readAll(consumer);
  expect(lost(heard)).toEqual(nothing);
  await add(again, 10);
  await again.xtrim(stream.key, 'MAXLEN', 4);

  expect(await readAll(consumer)).toBe(4);
  expect(lost(heard)).toEqual({ counted: [6], uncertain: [] });
});

test('a group that an operator set back counts nothing twice', async () => {
  const server = await realRedis();
  const redis = await readSixty(server);
  await redis.xgroup('SETID', stream.key, stream.group, '0');
  const { consumer, heard } = consumerOf(server);

  expect(await readAll(consumer)).toBe(10);
  expect(lost(heard)).toEqual(nothing);
});

test('a loss that cannot be noted because Redis is out of memory is counted once, afterwards', async () => {
  const server = await realRedis();
  const redis = client(server);
  const { consumer, heard } = consumerOf(server);
  await consumer.prepare();
  await add(redis, 5);
  await redis.xtrim(stream.key, 'MAXLEN', 0);
  // Noted by another server; what Redis counts happens to be right, so that only the note is written.
  await redis.hset(counter, stream.group, 'another 0-0 0');
  await redis.call('XGROUP', 'SETID', stream.key, stream.group, '0', 'ENTRIESREAD', 5);
  await redis.config('SET', 'maxmemory', '1');

  await consumer.read(10);
  await consumer.read(10);
  expect(lost(heard)).toEqual(nothing);

  await redis.config('SET', 'maxmemory', '0');
  await consumer.read(10);
  await consumer.read(10);
  expect(lost(heard)).toEqual({ counted: [5], uncertain: [] });
});
