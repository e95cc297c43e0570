import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkTopology } from '../../src/cli/doctor/topology.ts';
import { type Config, formatProblems, loadConfig } from '../../src/config/load.ts';
import { slotOf } from '../../src/stream/hash-slot.ts';
import { createPrimaryFinder } from '../../src/stream/primary-finder.ts';
import { commandRedis } from '../../tools/servers/ask.ts';
import { type Cluster, startCluster } from '../../tools/servers/cluster.ts';
import type { LocalServer } from '../../tools/servers/local-server.ts';
import { eventually, startService } from '../../tools/service.ts';
import { entry } from '../security/entries.ts';
import { freshDatabase, redisUrl } from '../setup/database.ts';
import { openConsumer } from './entries.ts';

const password = 'nodes/pw';
const stream = { key: '{telemetry:teltonika}', group: 'processor' };
const slot = slotOf(stream.key);

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ password });
});
afterAll(async () => {
  await cluster?.stop();
});

function config(url = cluster.url, changes: Readonly<Record<string, string>> = {}): Config {
  const env = {
    POSTGRES_URL: 'postgres://db/telemetry',
    REDIS_CONNECT_TIMEOUT_MS: '1000',
    REDIS_TELEMETRY_STREAM: stream.key,
    REDIS_URL: url,
    ...changes,
  };
  const loaded = loadConfig(env, { hostname: 'test', readFile: () => '' });
  if (!loaded.ok) throw new Error(formatProblems(loaded.problems));
  return loaded.config;
}

function finder(url = cluster.url) {
  return createPrimaryFinder(config(url).redis);
}

function urlOf(nodes: readonly LocalServer[]): string {
  return `redis+cluster://:${encodeURIComponent(password)}@${nodes.map(({ port }) => `127.0.0.1:${port}`).join()}`;
}

type Opened = ReturnType<typeof openConsumer>;

async function portOf(shared: Opened['shared']): Promise<number> {
  return (await shared().catch(() => null))?.stream.remotePort ?? 0;
}

async function untilReads({ consumer, shared }: Opened, id: string, owner: LocalServer) {
  await eventually(`entry ${id} is read`, async () => {
    const entries = await consumer.read(10).catch(expectUnavailable);
    return entries.some((entry) => entry.id === id) ? true : undefined;
  });
  await eventually('the shared connection leads to the owner', async () => {
    if ((await portOf(shared)) !== owner.port) return undefined;
    const redis = await shared();
    return (await redis.xlen(stream.key).catch(expectUnavailable)) === undefined ? undefined : true;
  });
}

/** A slot that moves and a node that fails over heal without a person. */
function expectUnavailable(error: unknown): [] {
  if (error instanceof Error && 'kind' in error) expect(error.kind).toBe('unavailable');
  return [];
}

async function add(server: LocalServer): Promise<string> {
  return String(await commandRedis(server.url, 'XADD', stream.key, '*', 'f', 'v'));
}

/** The checks of processor doctor, one line each. */
async function doctor({ redis, streams }: Config): Promise<readonly string[]> {
  const checks = await checkTopology(redis, streams);
  return checks.map(({ state, name, message }) => `${state} ${name}: ${message}`);
}

describe('processor doctor', () => {
  test('knows the nodes, the slots, and which node has which stream', async () => {
    const owner = await cluster.ownerOf(slot);

    expect(await doctor(config())).toEqual([
      'ok cluster nodes: 6 of 6 in REDIS_URL answer',
      'ok cluster slots: all 16384 are served',
      `ok owners of the streams: 127.0.0.1:${owner.port} has stream {telemetry:teltonika}`,
      expect.stringMatching(/^warning redis replicas: (\S+ has 1 replica[,;] ){3}min-replicas-to/),
      // A replica counts once the nodes have heard that it copied something, which takes seconds.
      expect.stringMatching(/^ok clocks of the servers: [3-6] servers, at most \d+ ms off$/),
    ]);
  });

  test('names the owner of each shard', async () => {
    const shards = { REDIS_TELEMETRY_STREAM: 'telemetry:teltonika', STREAM_SHARDS: '2' };
    const [zero, one] = await Promise.all(
      [0, 1].map((shard) => cluster.ownerOf(slotOf(`telemetry:teltonika:{${shard}}`))),
    );

    expect(await doctor(config(cluster.url, shards))).toContain(
      `ok owners of the streams: 127.0.0.1:${zero?.port} has shard 0; 127.0.0.1:${one?.port} has shard 1`,
    );
  });

  test('fails where REDIS_URL names fewer than two nodes that answer', async () => {
    expect(await doctor(config(urlOf(cluster.nodes.slice(0, 1))))).toContain(
      'failure cluster nodes: 1 of 1 in REDIS_URL answer: name at least 2 that answer',
    );
  });
});

describe('the owner of a slot is found', () => {
  test('whatever the order of the nodes, one of which hangs and another is gone', async () => {
    const owner = await cluster.ownerOf(slot);
    const [hung, gone, ...others] = cluster.nodes.slice(3);
    if (hung === undefined || gone === undefined) throw new Error('the cluster has six nodes');
    await hung.kill('SIGSTOP');
    await gone.kill('SIGKILL');
    onTestFinished(async () => {
      await hung.kill('SIGCONT');
      await gone.restart();
    });
    const { find } = finder(urlOf([hung, gone, ...others]));

    for (let round = 0; round < 5; round += 1) {
      expect(await find(stream.key)).toEqual({ host: '127.0.0.1', port: owner.port });
    }
  });

  test('by a replica too, and by the nodes that it named after it is gone', async () => {
    const owner = await cluster.ownerOf(slot);
    const [only] = cluster.nodes.slice(-1);
    if (only === undefined) throw new Error('the cluster has six nodes');
    const { find } = finder(urlOf([only]));

    expect((await find(stream.key)).port).toBe(owner.port);
    await only.kill('SIGKILL');
    onTestFinished(() => only.restart());
    expect((await find(stream.key)).port).toBe(owner.port);
  });
});

test('a URL of a Redis that is no cluster says what to set', async () => {
  const url = redisUrl().replace('redis://', 'redis+cluster://');

  await expect(finder(url).find(stream.key)).rejects.toMatchObject({
    kind: 'configuration',
    code: 'NOT_CLUSTER',
    message: expect.stringContaining('use redis:// for a single Redis'),
  });
});

test('nodes that do not answer are named, and no call waits for them without end', async () => {
  const { shared, consumer } = openConsumer(stream, {
    primaries: finder('redis+cluster://127.0.0.1:1'),
  });
  const away = {
    kind: 'unavailable',
    code: 'NO_NODE',
    message: 'redis: no node of the cluster answers (127.0.0.1:1: ECONNREFUSED)',
  };

  for (let round = 0; round < 2; round += 1) {
    await expect(shared()).rejects.toMatchObject(away);
    await expect(consumer.read(10)).rejects.toMatchObject(away);
  }
});

test('a stream with a hash tag needs no shards, and the service follows its slot', async () => {
  const database = await freshDatabase();
  const tagged = '{fleet}';
  const owner = await cluster.ownerOf(slotOf(tagged));
  const target = cluster.nodes.slice(0, 3).find((node) => node !== owner);
  if (target === undefined) throw new Error('the cluster has three primaries');
  const env = {
    REDIS_URL: cluster.url,
    POSTGRES_URL: database.url,
    REDIS_TELEMETRY_STREAM: tagged,
    TIMESCALEDB: 'optional',
    READ_BLOCK_MS: '200',
  };
  const service = startService(env);
  onTestFinished(async () => {
    await service.end('SIGKILL');
    await database.drop();
  });
  await service.untilReady();
  for (let index = 0; index < 5; index += 1) {
    await commandRedis(owner.url, 'XADD', tagged, '*', ...entry(index));
  }
  await commandRedis(owner.url, 'XADD', tagged, '*', 'nonsense', 'x');

  const untilStored = (count: number) =>
    eventually(`${count} records are stored`, async () =>
      (await service.metric('processor_records_total{outcome="inserted"}')) === count
        ? true
        : undefined,
    );
  await untilStored(5);
  await eventually('the dead letter is written', async () =>
    (await commandRedis(owner.url, 'XLEN', `${tagged}:dlq`)) === 1 ? true : undefined,
  );
  expect(await service.metric('processor_redis_primary_changes_total')).toBe(0);

  await cluster.moveSlots([slotOf(tagged)], target);
  await commandRedis(target.url, 'XADD', tagged, '*', ...entry(5));
  await untilStored(6);
  expect(await service.metric('processor_redis_primary_changes_total')).toBeGreaterThan(0);
  expect(service.logs.find(({ msg }) => msg === 'redis primary changed')).toMatchObject({
    from: `127.0.0.1:${owner.port}`,
    to: `127.0.0.1:${target.port}`,
  });
  expect(await service.end('SIGTERM')).toBe(0);
  expect(await commandRedis(target.url, 'XPENDING', tagged, 'processor')).toEqual([
    0,
    null,
    null,
    null,
  ]);
});

test('both connections follow a slot that moves', async () => {
  const opened = openConsumer(stream, { primaries: finder() });
  const former = await cluster.ownerOf(slot);
  await opened.consumer.prepare();
  await untilReads(opened, await add(former), former);

  const target = cluster.nodes.slice(0, 3).find((node) => node !== former);
  if (target === undefined) throw new Error('the cluster has three primaries');
  const moving = cluster.moveSlots([slot], target, { openMs: 300 });
  await eventually('the connections meet the move', async () => {
    const failure = await opened.consumer.read(10).then(
      () => null,
      (error: Error) => error,
    );
    if (failure === null) return undefined;
    expect(failure).toMatchObject({ kind: 'unavailable' });
    return true;
  });
  await moving;
  await untilReads(opened, await add(target), target);
  expect(opened.heard.recreated).toBe(0);
});

test('both connections follow a failover', async () => {
  const opened = openConsumer(stream, { primaries: finder(), commandTimeoutMs: 1000 });
  const former = await cluster.ownerOf(slot);
  await opened.consumer.prepare();
  await untilReads(opened, await add(former), former);

  await former.kill('SIGKILL');
  const promoted = await cluster.untilPromoted(slot, former);
  await untilReads(opened, await add(promoted), promoted);
  expect(opened.heard.lostUndelivered).toEqual([]);
});

test('processor doctor names slots that no node serves', async () => {
  const owner = await cluster.ownerOf(0);
  await commandRedis(owner.url, 'CLUSTER', 'DELSLOTS', '0');

  await eventually('the nodes know', async () =>
    (await doctor(config(urlOf([owner])))).includes(
      'failure cluster slots: 1 of 16384 are served by no node: see CLUSTER NODES',
    )
      ? true
      : undefined,
  );
});
