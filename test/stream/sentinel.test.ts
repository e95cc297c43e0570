import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkTopology } from '../../src/cli/doctor/topology.ts';
import { type Config, formatProblems, loadConfig } from '../../src/config/load.ts';
import { DependencyError } from '../../src/core/types.ts';
import { createPrimaryFinder } from '../../src/stream/primary-finder.ts';
import { placeText } from '../../src/stream/topology.ts';
import { commandRedis, withRedis } from '../../tools/servers/ask.ts';
import type { LocalServer } from '../../tools/servers/local-server.ts';
import { startSentinel } from '../../tools/servers/redis-kinds.ts';
import { type SentinelSet, startSentinelSet } from '../../tools/servers/sentinel.ts';
import { eventually } from '../../tools/service.ts';
import { openConsumer } from './entries.ts';

const password = 'servers/pw';
const sentinelPassword = 'sentinels@pw';
const stream = { key: 'telemetry:teltonika', group: 'processor' };

let set: SentinelSet;
beforeAll(async () => {
  set = await startSentinelSet({ password, sentinelPassword });
});
afterAll(async () => {
  await set?.stop();
});

function configOf(env: Readonly<Record<string, string>>): Config {
  const readFile = (path: string) => readFileSync(path, 'utf8');
  const all = { POSTGRES_URL: 'postgres://db/telemetry', REDIS_CONNECT_TIMEOUT_MS: '1000', ...env };
  const loaded = loadConfig(all, { hostname: 'test', readFile });
  if (!loaded.ok) throw new Error(formatProblems(loaded.problems));
  return loaded.config;
}

function config(changes: Readonly<Record<string, string>> = {}): Config {
  return configOf({
    REDIS_URL: set.url,
    REDIS_SENTINEL_PASSWORD: sentinelPassword,
    ...changes,
  });
}

function finder(changes: Readonly<Record<string, string>> = {}) {
  return createPrimaryFinder(config(changes).redis);
}

/** The sentinels of the set with others before or behind them. */
function urlOf(ports: readonly number[], name = set.name): string {
  return `redis+sentinel://:${encodeURIComponent(password)}@${ports.map((port) => `127.0.0.1:${port}`).join()}/${name}`;
}

const portsOf = (members: readonly LocalServer[]) => members.map(({ port }) => port);

/** The port of the server at the other end of the shared connection. */
async function portOf(shared: ReturnType<typeof openConsumer>['shared']): Promise<number> {
  return (await shared()).stream.remotePort ?? 0;
}

async function untilReads(consumer: ReturnType<typeof openConsumer>['consumer'], id: string) {
  await eventually(`entry ${id} is read`, async () => {
    const entries = await consumer.read(10).catch(() => []);
    return entries.some((entry) => entry.id === id) ? true : undefined;
  });
}

async function add(server: LocalServer): Promise<string> {
  return String(await commandRedis(server.url, 'XADD', stream.key, '*', 'f', 'v'));
}

/** The checks of processor doctor, one line each. */
async function doctor(changes: Readonly<Record<string, string>> = {}): Promise<readonly string[]> {
  const { redis, streams } = config(changes);
  const checks = await checkTopology(redis, streams);
  return checks.map(({ state, name, message }) => `${state} ${name}: ${message}`);
}

describe('processor doctor', () => {
  test('knows the primary, its replicas and whether a failover is possible', async () => {
    const { port } = await set.primary();

    expect(await doctor()).toEqual([
      'ok sentinels: 3 of 3 in REDIS_URL answer',
      `ok primary: telemetry is 127.0.0.1:${port}`,
      'ok quorum: 3 usable Sentinels. Quorum and failover authorization can be reached',
      `warning redis replicas: 127.0.0.1:${port} has 2 replicas; min-replicas-to-write is 0 at 127.0.0.1:${port}: a primary that is cut off accepts entries which a failover loses; min-replicas-to-write 1`,
      expect.stringMatching(/^ok clocks of the servers: 3 servers, at most \d+ ms off$/),
    ]);
    await commandRedis((await set.primary()).url, 'CONFIG', 'SET', 'min-replicas-to-write', '1');
    expect(await doctor()).toContain(
      `ok redis replicas: 127.0.0.1:${port} has 2 replicas, min-replicas-to-write is set`,
    );
  });

  test('fails where REDIS_URL names fewer than two sentinels that answer', async () => {
    const [one] = portsOf(set.sentinels);
    if (one === undefined) throw new Error('the set has sentinels');

    expect(await doctor({ REDIS_URL: urlOf([one]) })).toContain(
      'failure sentinels: 1 of 1 in REDIS_URL answer: name at least 2 that answer',
    );
    expect(await doctor({ REDIS_URL: urlOf([one, 1]) })).toContain(
      'failure sentinels: 1 of 2 in REDIS_URL answer, not 127.0.0.1:1 (ECONNREFUSED): name at least 2 that answer',
    );
    expect(await doctor({ REDIS_URL: urlOf([...portsOf(set.sentinels), 1]) })).toContain(
      'warning sentinels: 3 of 4 in REDIS_URL answer, not 127.0.0.1:1 (ECONNREFUSED)',
    );
  });

  test('names a primary that no sentinel knows, and what sentinels refuse', async () => {
    expect(await doctor({ REDIS_URL: urlOf(portsOf(set.sentinels), 'other') })).toContain(
      'failure primary: the sentinels know no primary named other: check the name in REDIS_URL',
    );
    expect((await doctor({ REDIS_SENTINEL_PASSWORD: 'wrong' })).join()).toContain('(WRONGPASS)');
  });
});

describe('the primary is named', () => {
  test('while one of three sentinels hangs and another is gone', async () => {
    const [first, second] = set.sentinels;
    const { port } = await set.primary();
    await first?.kill('SIGSTOP');
    await second?.kill('SIGKILL');
    onTestFinished(async () => {
      await first?.kill('SIGCONT');
      await second?.restart();
    });

    expect(await finder().find(stream.key)).toEqual({ host: '127.0.0.1', port });
  });

  test('by the majority, where one sentinel names another server', async () => {
    const alone = await startSentinel(set.servers[2]?.port ?? 0);
    onTestFinished(() => alone.stop());
    const stray = Number(new URL(alone.url).port);
    const url = urlOf([stray, ...portsOf(set.sentinels)]);

    // The stray one asks for no password and refuses it.
    expect((await finder({ REDIS_URL: url }).find(stream.key)).port).toBe(
      (await set.primary()).port,
    );
  });

  test('under the address that REDIS_NAT_MAP gives', async () => {
    const { port } = await set.primary();
    const found = await finder({ REDIS_NAT_MAP: `127.0.0.1:${port}=localhost:${port}` }).find('k');

    expect(placeText(found)).toBe(`localhost:${port}`);
  });
});

describe('a person is told what to set', () => {
  test.each([
    ['no password', { REDIS_SENTINEL_PASSWORD: '' }, 'NOAUTH', /set REDIS_SENTINEL_PASSWORD/],
    [
      'a wrong password',
      { REDIS_SENTINEL_PASSWORD: 'x' },
      'WRONGPASS',
      /check REDIS_SENTINEL_USER/,
    ],
  ])('where the sentinels get %s', async (_what, changes, code, message) => {
    await expect(finder(changes).find('k')).rejects.toMatchObject({
      kind: 'configuration',
      code,
      message: expect.stringMatching(message),
    });
  });

  test('where the sentinels know no primary of the name', async () => {
    const url = urlOf(portsOf(set.sentinels), 'other');

    await expect(finder({ REDIS_URL: url }).find('k')).rejects.toMatchObject({
      kind: 'configuration',
      code: 'SENTINEL_NAME',
      message: 'redis: the sentinels know no primary named other: check the name in REDIS_URL',
    });
  });

  test('where the URL names the servers themselves', async () => {
    const url = urlOf(portsOf(set.servers));
    const changes = { REDIS_URL: url, REDIS_SENTINEL_PASSWORD: password };

    await expect(finder(changes).find('k')).rejects.toMatchObject({
      kind: 'configuration',
      code: 'ERR',
      message: expect.stringContaining('a server in REDIS_URL is no sentinel'),
    });
  });
});

test('a replica that the sentinels name is left until the failover has ended', async () => {
  const { port } = await set.primary();
  const replica = set.servers.find((server) => server.port !== port);
  const primaries = finder({ REDIS_NAT_MAP: `127.0.0.1:${port}=127.0.0.1:${replica?.port}` });
  const { shared } = openConsumer(stream, { primaries });

  await expect(shared()).rejects.toMatchObject({
    kind: 'unavailable',
    code: 'REPLICA',
    message: expect.stringContaining(`the sentinels named a replica of 127.0.0.1:${port}`),
  });
});

test('a former primary that still answers is left, and waits for no person', async () => {
  const { shared } = openConsumer(stream, { primaries: finder() });
  const primary = await set.primary();
  const replica = set.servers.find((server) => server !== primary);
  const redis = await shared();
  await commandRedis(primary.url, 'REPLICAOF', '127.0.0.1', replica?.port ?? 0);

  // The answer ends the connection, and the next one finds what the server has become.
  await expect(redis.xadd(stream.key, '*', 'f', 'v')).rejects.toThrow('READONLY');
  await eventually('the replica is left', async () => {
    const error: unknown = await shared().catch((cause: unknown) => cause);
    if (!(error instanceof DependencyError)) return undefined;
    expect(error.kind).toBe('unavailable');
    return error.code === 'REPLICA' ? true : undefined;
  });
  await commandRedis(primary.url, 'REPLICAOF', 'NO', 'ONE');
  await eventually('the shared connection', async () =>
    (await shared().catch(() => null)) === null ? undefined : true,
  );
});

test('both connections heal after all sentinels were away at the start', async () => {
  for (const sentinel of set.sentinels) await sentinel.kill('SIGKILL');
  const { consumer, shared } = openConsumer(stream, { primaries: finder() });
  const away = { kind: 'unavailable', code: 'NO_SENTINEL' };

  // Each call is answered: a connect that waits for a sentinel would never return.
  for (let round = 0; round < 2; round += 1) {
    await expect(shared()).rejects.toMatchObject(away);
    await expect(consumer.read(10)).rejects.toMatchObject(away);
  }
  for (const sentinel of set.sentinels) await sentinel.restart();
  await eventually('the shared connection', async () =>
    (await shared().catch(() => null)) === null ? undefined : true,
  );
  const id = await add(await set.primary());
  await untilReads(consumer, id);
});

test('both connections leave a primary that hangs for the one that is promoted', async () => {
  const changes: string[] = [];
  const primaries = createPrimaryFinder(config().redis, (from, to) =>
    changes.push(`${from.port} ${to.port}`),
  );
  const { consumer, shared, heard } = openConsumer(stream, { primaries, commandTimeoutMs: 1000 });
  const former = await set.primary();
  await consumer.prepare();
  await untilReads(consumer, await add(former));
  expect(await portOf(shared)).toBe(former.port);

  await former.kill('SIGSTOP');
  const promoted = await set.untilPromoted(former);
  await untilReads(consumer, await add(promoted));
  await eventually('the shared connection moved', async () =>
    (await portOf(shared).catch(() => 0)) === promoted.port ? true : undefined,
  );
  await former.kill('SIGCONT');
  expect(changes).toEqual([`${former.port} ${promoted.port}`]);
  expect(heard.lostUndelivered).toEqual([]);
});

test('both connections leave a former primary that goes on taking commands', async () => {
  const primaries = finder();
  const { consumer, shared } = openConsumer(stream, { primaries });
  const former = await set.primary();
  await consumer.prepare();
  await untilReads(consumer, await add(former));
  expect(await portOf(shared)).toBe(former.port);
  expect(await primaries.leaveFormer()).toBe(0);

  // Without a login the sentinels promote another server and cannot make this one its replica.
  await withRedis(former.url, async (redis) => {
    await redis.call('CONFIG', 'SET', 'requirepass', 'another');
    const sentinels = await redis.call('CLIENT', 'LIST', 'TYPE', 'normal');
    const ids = [...String(sentinels).matchAll(/^id=(\d+) .*name=sentinel-/gm)].map(([, id]) => id);
    for (const id of ids) await redis.call('CLIENT', 'KILL', 'ID', String(id));
  });
  const promoted = await set.untilPromoted(former);
  expect(await portOf(shared)).toBe(former.port);
  expect(await primaries.leaveFormer()).toBe(2);
  await untilReads(consumer, await add(promoted));
  await eventually('the shared connection moved', async () =>
    (await portOf(shared).catch(() => 0)) === promoted.port ? true : undefined,
  );
  await former.kill('SIGKILL');
  await former.restart();
  await set.untilReplicas(2);
});

test('a lost connection comes back while no sentinel answers', async () => {
  const { consumer, shared } = openConsumer(stream, { primaries: finder() });
  const primary = await set.primary();
  await consumer.prepare();
  await untilReads(consumer, await add(primary));
  expect(await portOf(shared)).toBe(primary.port);

  for (const sentinel of set.sentinels) await sentinel.kill('SIGKILL');
  await commandRedis(primary.url, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await untilReads(consumer, await add(primary));
  await eventually('the shared connection', async () =>
    (await portOf(shared).catch(() => 0)) === primary.port ? true : undefined,
  );
  for (const sentinel of set.sentinels) await sentinel.restart();
});
