import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { DependencyError, type Rejection } from '../../src/core/types.ts';
import { createAcknowledger, type Settled } from '../../src/stream/acknowledger.ts';
import { controlKeys } from '../../src/stream/control-keys.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { freshStream } from '../setup/database.ts';
import { moveAll, openConsumer } from './entries.ts';

const rejection: Rejection = {
  stage: 'validate',
  reason: 'ts_out_of_range',
  message: 'too old',
  recordIndex: 0,
  offset: null,
};

describe('a move to the dead-letter stream that fails', () => {
  let server: LocalServer;
  let admin: Redis;
  beforeAll(async () => {
    server = await startRedis();
    admin = new Redis(server.url, { protocol: 2 });
  });
  afterAll(async () => {
    admin.disconnect();
    await server.stop();
  });

  /** One entry that is delivered and pending, and what moves it over this connection. */
  async function prepared(redis: Redis) {
    const stream = freshStream();
    const deadLetterKey = `${stream.key}:dlq`;
    const { consumer } = openConsumer(stream, { url: server.url });
    await consumer.prepare();
    await admin.xadd(stream.key, '*', 'device_id', '350000000000001', 'frame', 'x');
    const [entry] = await consumer.read(10);
    if (entry === undefined) throw new Error('nothing was delivered');
    const acknowledger = createAcknowledger(
      () => Promise.resolve(redis),
      {
        ...stream,
        deadLetterKey,
        deadLetterMaxEntries: 1000,
        deadLetterStreamMaxBytes: 1_000_000,
        instance: 'i1',
        maxFieldBytes: 2048,
      },
      Date.now,
      { replaced() {} },
    );
    const settled: Settled[] = [{ entry, rejections: [rejection] }];
    return { stream, deadLetterKey, move: () => moveAll(acknowledger, settled) };
  }

  /** Tries three times, as the pipeline does; then repairs and tries again. */
  async function failThenRepair(
    { stream, deadLetterKey, move }: Awaited<ReturnType<typeof prepared>>,
    repair: () => Promise<unknown>,
  ): Promise<void> {
    const isStream = (await admin.type(deadLetterKey)) !== 'string';
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await expect(move()).rejects.toBeInstanceOf(DependencyError);
    }
    if (isStream) expect(await admin.xlen(deadLetterKey)).toBe(0);
    expect((await admin.xpending(stream.key, stream.group))[0]).toBe(1);

    await repair();
    await move();
    await move();
    expect(await admin.xlen(deadLetterKey)).toBe(1);
    expect((await admin.xpending(stream.key, stream.group))[0]).toBe(0);
  }

  test.each(['dead-letter stream', 'moved', 'deadLetters'] as const)(
    'because %s is a key of another type leaves nothing behind; once repaired it writes one dead letter',
    async (name) => {
      const setUp = await prepared(admin);
      const key =
        name === 'dead-letter stream' ? setUp.deadLetterKey : controlKeys(setUp.stream.key)[name];
      await admin.set(key, 'x');

      await failThenRepair(setUp, () => admin.del(key));
    },
  );

  test.each([
    'eval',
    'xpending',
    'xrange',
    'xlen',
    'xadd',
    'xdel',
    'xack',
    'zscore',
    'zadd',
    'zremrangebyrank',
    'hmget',
    'hset',
  ])(
    'because the ACL denies %s leaves nothing behind; once allowed it writes one dead letter',
    async (command) => {
      const user = `no-${command}`;
      await admin.acl('SETUSER', user, 'on', '>secret', '~*', '+@all', `-${command}`);
      const redis = new Redis(server.port, { username: user, password: 'secret' });
      onTestFinished(() => redis.disconnect());
      const setUp = await prepared(redis);

      await failThenRepair(setUp, () => admin.acl('SETUSER', user, `+${command}`));
    },
  );
});
