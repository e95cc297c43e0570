import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { DependencyError } from '../../src/core/types.ts';
import { callRedis } from '../../src/stream/redis.ts';
import { connect } from './entries.ts';

test('what Redis answers is returned', async () => {
  const redis = connect();

  await expect(callRedis(() => redis.ping())).resolves.toBe('PONG');
});

test('a refused command becomes a DependencyError with its error word', async () => {
  const redis = connect();
  const key = `call-redis-${crypto.randomUUID()}`;
  onTestFinished(async () => {
    await redis.del(key);
  });
  await redis.set(key, 'text');

  const failure = await callRedis(() => redis.xlen(key)).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(DependencyError);
  expect(failure).toMatchObject({ dependency: 'redis', kind: 'configuration', code: 'WRONGTYPE' });
});

test('a connection that is closed becomes a DependencyError', async () => {
  const redis = new Redis({ lazyConnect: true, enableOfflineQueue: false });

  await expect(callRedis(() => redis.ping())).rejects.toBeInstanceOf(DependencyError);
  redis.disconnect();
});

test('a bug in the work passes unchanged', async () => {
  const bug = new TypeError('not a function');

  await expect(callRedis(() => Promise.reject(bug))).rejects.toBe(bug);
});
