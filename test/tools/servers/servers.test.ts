import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { askPostgres, askRedis, untilAnswered } from '../../../tools/servers/ask.ts';
import { isAlive, processTree } from '../../../tools/servers/process-tree.ts';
import {
  type LocalServer,
  type PostgresOptions,
  providePostgres,
  provideRedis,
  type RedisOptions,
  startPostgres,
  startRedis,
} from '../../../tools/servers/servers.ts';
import { discardedPrefix, temporaryPrefix } from '../../../tools/servers/system-user.ts';
import { databaseUrl, redisUrl } from '../../setup/database.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** Servers of this test alone. */
async function localRedis(options?: RedisOptions): Promise<LocalServer> {
  const server = await startRedis(options);
  onTestFinished(server.stop);
  return server;
}

async function localPostgres(options?: PostgresOptions): Promise<LocalServer> {
  const server = await startPostgres(options);
  onTestFinished(server.stop);
  return server;
}

async function inRedis<T>(server: LocalServer, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(server.url);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

async function settings(server: LocalServer, ...names: readonly string[]): Promise<object> {
  const columns = names.map((name) => `current_setting('${name}') AS ${name}`);
  return (await askPostgres(server.url, `SELECT ${columns.join(', ')}`)) ?? {};
}

test('a Redis for tests keeps nothing on disk and never evicts', async () => {
  const server = await localRedis();

  const config = await inRedis(server, (redis) =>
    redis.config('GET', 'save', 'appendonly', 'maxmemory-policy', 'bind'),
  );

  expect(config).toEqual(
    expect.arrayContaining(['save', '', 'appendonly', 'no', 'noeviction', '127.0.0.1']),
  );
});

test('data to be thrown away lies in memory only where there is enough of it', () => {
  const needed = 1;
  expect(discardedPrefix('x', { folder: '/var/tmp', needed })).toBe('/var/tmp/processor-x-');
  const otherwise = temporaryPrefix('x');
  expect(discardedPrefix('x', { folder: '/var/tmp', needed: 2 ** 53 })).toBe(otherwise);
  expect(discardedPrefix('x', { folder: '/nowhere', needed })).toBe(otherwise);
  expect(discardedPrefix('x', { folder: '/proc', needed })).toBe(otherwise);
});

test('a PostgreSQL with real durability does not lie in memory', async () => {
  const server = await localPostgres({ durability: 'real' });
  expect(server.dir).not.toMatch(/^\/dev\/shm/);
});

test('a Redis with real durability has what it acknowledged after kill -9', async () => {
  const server = await localRedis({ durability: 'real' });
  await inRedis(server, (redis) => redis.xadd('s', '1-1', 'name', 'value'));
  const before = { pid: server.pid, port: server.port };

  await server.kill('SIGKILL');
  expect(isAlive(before.pid)).toBe(false);
  await server.restart();

  expect(await inRedis(server, (redis) => redis.xlen('s'))).toBe(1);
  expect(server.pid).not.toBe(before.pid);
  expect(server.port).toBe(before.port);
});

test('a Redis for tests is empty after a restart', async () => {
  const server = await localRedis();
  await inRedis(server, (redis) => redis.xadd('s', '1-1', 'name', 'value'));

  await server.restart();

  expect(await inRedis(server, (redis) => redis.xlen('s'))).toBe(0);
});

test('further arguments reach Redis and win over ours', async () => {
  const server = await localRedis({ args: ['--maxmemory', '64mb', '--appendonly', 'yes'] });

  const config = await inRedis(server, (redis) => redis.config('GET', 'maxmemory', 'appendonly'));

  expect(config).toEqual(expect.arrayContaining(['67108864', 'yes']));
});

test('a stopped Redis keeps its clients waiting until it goes on', async () => {
  const server = await localRedis();

  await server.kill('SIGSTOP');
  await expect(askRedis(server.url)).rejects.toThrow();
  await server.kill('SIGCONT');

  expect(await askRedis(server.url)).toMatchObject({ pid: server.pid });
});

test('a PostgreSQL for tests trades the safety of its data for speed', async () => {
  const server = await localPostgres();

  expect(await settings(server, 'fsync', 'synchronous_commit', 'full_page_writes')).toEqual({
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
  });
});

test('a PostgreSQL with real durability does not, and takes settings', async () => {
  const server = await localPostgres({
    durability: 'real',
    settings: { shared_buffers: '64MB', log_min_messages: 'error' },
  });

  expect(
    await settings(server, 'fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers'),
  ).toEqual({
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    shared_buffers: '64MB',
  });
});

test('PostgreSQL runs as an ordinary user, in UTF8 and locale C', async () => {
  const server = await localPostgres();

  const row = await askPostgres(
    server.url,
    `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate
       FROM pg_database WHERE datname = 'postgres'`,
  );

  expect(row).toEqual({ encoding: 'UTF8', collate: 'C' });
  expect((await stat(`/proc/${server.pid}`)).uid).not.toBe(0);
});

test('a PostgreSQL with real durability has what it committed after kill -9', async () => {
  const server = await localPostgres({ durability: 'real' });
  await askPostgres(server.url, 'CREATE TABLE t AS SELECT 1 AS one');
  const processes = processTree(server.pid);

  await server.kill('SIGKILL');
  expect(processes.filter(isAlive)).toEqual([]);
  await server.restart();

  expect(await askPostgres(server.url, 'SELECT one FROM t')).toEqual({ one: 1 });
});

test('a PostgreSQL restarts while it runs and while it is stopped', async () => {
  const server = await localPostgres();
  await askPostgres(server.url, 'CREATE TABLE t AS SELECT 1 AS one');

  await server.restart();
  await server.kill('SIGSTOP');
  await server.restart();

  expect(await askPostgres(server.url, 'SELECT one FROM t')).toEqual({ one: 1 });
});

test('a PostgreSQL whose main process alone was killed restarts', async () => {
  const server = await localPostgres();
  process.kill(server.pid, 'SIGKILL');

  await server.restart();

  expect(await askPostgres(server.url, 'SELECT 1 AS one')).toEqual({ one: 1 });
});

test('stop ends the server and removes its folder, and is safe twice', async () => {
  const servers = await Promise.all([startRedis(), startPostgres()]);
  const processes = servers.flatMap(({ pid }) => processTree(pid));

  await Promise.all(servers.map((server) => server.stop()));
  await Promise.all(servers.map((server) => server.stop()));

  expect(processes.filter(isAlive)).toEqual([]);
  expect(servers.filter(({ dir }) => existsSync(dir))).toEqual([]);
});

test('a folder that was given stays, and the next server finds its data there', async () => {
  const dir = await mkdtemp(temporaryPrefix('kept'));
  onTestFinished(() => rm(dir, { recursive: true }));

  const first = await localPostgres({ dir });
  await askPostgres(first.url, 'CREATE TABLE t AS SELECT 1 AS one');
  await first.stop();
  const second = await localPostgres({ dir });

  expect(await askPostgres(second.url, 'SELECT one FROM t')).toEqual({ one: 1 });
});

test('many servers that start at once take ports of their own', async () => {
  const servers = await Promise.all(Array.from({ length: 6 }, () => localRedis()));

  expect(new Set(servers.map(({ port }) => port)).size).toBe(6);
  for (const { url, pid } of servers) expect(await askRedis(url)).toMatchObject({ pid });
});

test('a port that is taken is an error with the words of the server', async () => {
  const { port } = await localRedis();

  await expect(startRedis({ port })).rejects.toMatchObject({
    code: 'start_failed',
    message: expect.stringContaining('Address already in use'),
  });
  await expect(startPostgres({ port })).rejects.toMatchObject({
    code: 'start_failed',
    message: expect.stringContaining('Address already in use'),
  });
});

test('a setting that PostgreSQL refuses is an error with its words', async () => {
  await expect(startPostgres({ settings: { shared_buffers: 'much' } })).rejects.toMatchObject({
    code: 'start_failed',
    message: expect.stringContaining('invalid value for parameter "shared_buffers"'),
  });
});

test('a folder that is no PostgreSQL installation is refused by the name of its variable', async () => {
  vi.stubEnv('TEST_POSTGRES_BIN', '/nonexistent/bin');

  await expect(startPostgres()).rejects.toMatchObject({
    code: 'no_program',
    message: expect.stringContaining('TEST_POSTGRES_BIN=/nonexistent/bin'),
  });
});

test('servers that are given are used and left alone', async () => {
  vi.stubEnv('TEST_REDIS_URL', redisUrl());
  vi.stubEnv('TEST_DATABASE_URL', databaseUrl());

  const servers = [await provideRedis(), await providePostgres()];
  for (const server of servers) await server.stop();

  expect(servers).toMatchObject([
    { how: 'given', url: redisUrl() },
    { how: 'given', url: databaseUrl() },
  ]);
  expect(await askRedis(redisUrl())).toBeDefined();
  expect(await askPostgres(databaseUrl(), 'SELECT 1 AS one')).toEqual({ one: 1 });
});

test('a server that does not answer is named, without its password', async () => {
  const { port, stop } = await localRedis();
  await stop();
  const url = `redis://:secret@127.0.0.1:${port}`;

  const failure = untilAnswered('the server that TEST_REDIS_URL names', () => askRedis(url), 0);

  await expect(failure).rejects.toMatchObject({
    code: 'not_reachable',
    message: expect.stringMatching(/^the server that TEST_REDIS_URL names (?!.*secret)/),
  });
});
