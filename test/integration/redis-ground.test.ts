import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
} from 'vitest';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';
import { startSentinel } from '../../tools/servers/redis-kinds.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { startAclRedis } from '../security/acl.ts';
import { entryOf } from '../security/entries.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';

const run = promisify(execFile);
const stream = 'telemetry:teltonika';
const device = '356307042441013';

let database: FreshDatabase;
let running: RunningService[] = [];
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(async () => {
  for (const service of running) await service.end('SIGKILL');
  running = [];
  await database.drop();
});

function serve(redisUrl: string, changes: Readonly<Record<string, string>> = {}): RunningService {
  const quick = { READ_BLOCK_MS: '200', CLAIM_INTERVAL_MS: '500', CONSUMER_NAME: 'one' };
  const started = startService({
    REDIS_URL: redisUrl,
    POSTGRES_URL: database.url,
    ...quick,
    ...changes,
  });
  running.push(started);
  return started;
}

async function readyText(service: RunningService): Promise<string> {
  return await (await fetch(`${await service.url()}/health/ready`)).text();
}

async function untilReadyTells(service: RunningService, text: string): Promise<void> {
  await eventually(`/health/ready tells ${text}`, async () =>
    (await readyText(service)).includes(text) ? true : undefined,
  );
  expect(await service.health('ready')).toBe(503);
}

/** A command as a person runs it. */
async function processor(
  redisUrl: string,
  words: readonly string[],
  changes: Readonly<Record<string, string>> = {},
) {
  const urls = { REDIS_URL: redisUrl, POSTGRES_URL: database.url, TIMESCALEDB: 'optional' };
  const env = { ...childEnvironment(), ...urls, ...changes };
  return await run(process.execPath, [programFile(), ...words], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, text: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      text: error.stdout + error.stderr,
    }),
  );
}

async function stored(): Promise<number> {
  const pg = await import('pg');
  const client = new pg.default.Client(database.url);
  await client.connect();
  const { rows } = await client.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM pg_class WHERE relname = 'positions'",
  );
  const there = rows[0]?.n === 0 ? 0 : await client.query('SELECT FROM public.positions');
  await client.end();
  return there === 0 ? 0 : (there.rowCount ?? 0);
}

/** Sends one good entry, as ingestion does. */
async function send(redis: Redis, seconds: number): Promise<void> {
  const place = { latitude: 54.7, longitude: 25.3, altitude: 1, angle: 2, speed: 3, satellites: 9 };
  await redis.xadd(
    stream,
    '*',
    ...entryOf(device, seconds, { device_id: device, ...place, priority: 0 }),
  );
}

describe('the database number of REDIS_URL', () => {
  let server: LocalServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await startRedis();
    redis = new Redis(server.url);
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });
  beforeEach(async () => {
    await redis.select(0);
    await redis.flushall();
    await redis.acl('SETUSER', 'svc', 'reset', 'on', '>pw', '~*', '&*', '+@all');
  });

  async function expectUntouched(): Promise<void> {
    await redis.select(0);
    expect(await redis.xlen(stream)).toBe(1);
    expect(await redis.xinfo('GROUPS', stream)).toEqual([]);
    expect(await redis.keys('*')).toEqual([stream]);
    expect(await stored()).toBe(0);
  }

  test('that Redis refuses keeps the service from reading database 0', async () => {
    await send(redis, 1);
    const service = serve(`${server.url}/99`);

    await untilReadyTells(service, '"redis":"configuration: ERR"');
    expect(service.logs.some(({ msg }) => msg === 'reading begins')).toBe(false);
    await expectUntouched();
  });

  test('that the ACL refuses keeps the service from reading database 0, and the advice is right', async () => {
    await send(redis, 1);
    await redis.acl('SETUSER', 'svc', '-select');
    const service = serve(`redis://svc:pw@127.0.0.1:${server.port}/1`);

    await untilReadyTells(service, '"redis":"configuration: NOPERM"');
    expect(JSON.stringify(service.logs)).toMatch(/SELECT.*\+select.*database 0/);
    await expectUntouched();
  });

  test.each([
    'status',
    'doctor',
    'dlq list',
    'pending list',
    'consumers list',
    'verify --from 1h',
    'pause --yes --reason x',
    'simulate --records 5',
  ])('that Redis refuses is reported by processor %s, which does nothing', async (words) => {
    await send(redis, 1);
    const { code, text } = await processor(`${server.url}/99`, words.split(' '));

    expect(code).toBe(1);
    expect(text).toMatch(/DB index is out of range|ERR/);
    await expectUntouched();
  });

  test('is selected on all connections, and database 0 is left alone', async () => {
    await redis.select(3);
    await send(redis, 1);
    const service = serve(`${server.url}/3`);
    await service.untilReady();
    await eventually('the record is stored', async () =>
      (await stored()) === 1 ? true : undefined,
    );
    const list = String(await redis.client('LIST'));
    const own = list.split('\n').filter((line) => line.includes('name=processor:one:'));

    expect(own.map((line) => / name=(\S+) /.exec(line)?.[1]).sort()).toEqual([
      'processor:one:reader',
      'processor:one:writer',
    ]);
    expect(own.every((line) => line.includes(' db=3 '))).toBe(true);
    await redis.select(0);
    expect(await redis.dbsize()).toBe(0);
  });

  test('is confirmed again on each reconnection, and once it is refused nothing is read', async () => {
    const url = `redis://svc:pw@127.0.0.1:${server.port}/3`;
    await redis.select(3);
    await send(redis, 1);
    const service = serve(url);
    await service.untilReady();
    await eventually('the first record is stored', async () =>
      (await stored()) === 1 ? true : undefined,
    );
    await redis.acl('SETUSER', 'svc', '-select');
    await redis.select(0);
    await send(redis, 2);
    await redis.client('KILL', 'USER', 'svc');

    await untilReadyTells(service, '"redis":"configuration: NOPERM"');
    for (let round = 0; round < 10; round += 1) {
      await redis.client('KILL', 'USER', 'svc');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(await redis.xinfo('GROUPS', stream)).toEqual([]);
    expect(await redis.keys('*')).toEqual([stream]);
    expect(await stored()).toBe(1);
    await redis.acl('SETUSER', 'svc', '+select');
    await redis.select(3);
    await send(redis, 3);

    await service.untilReady();
    await eventually('the third record is stored', async () =>
      (await stored()) === 2 ? true : undefined,
    );
  });

  test('needs no right to SELECT where it is 0, and +select where it is not, with the shipped ACL', async () => {
    const acl = await startAclRedis(stream);
    onTestFinished(() => acl.stop());
    const login = { REDIS_PASSWORD: acl.password('processor') };
    const zero = serve(`${acl.url('processor')}/0`, login);
    await zero.untilReady();
    await zero.end('SIGTERM');
    const one = serve(`${acl.url('processor')}/1`, login);

    await untilReadyTells(one, '"redis":"configuration: NOPERM"');
  });
});

describe('a server that is not a single primary Redis', () => {
  let server: LocalServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await startRedis();
    redis = new Redis(server.url);
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  test('a Sentinel is named by run, doctor and commands', async () => {
    const sentinel = await startSentinel(server.port);
    onTestFinished(() => sentinel.stop());
    const service = serve(sentinel.url);

    await untilReadyTells(service, '"redis":"configuration: SENTINEL"');
    const { code, text } = await processor(sentinel.url, ['doctor']);
    expect(code).toBe(1);
    expect(text).toMatch(/failure +redis role +.*sentinel.*REDIS_URL/);
    expect(text).not.toContain('ACL refuses TIME');
    expect((await processor(sentinel.url, ['dlq', 'list'])).text).toMatch(
      /this is a sentinel, not a Redis: use redis\+sentinel:\/\//,
    );
    expect((await processor(sentinel.url, ['simulate', '--records', '1'])).text).toContain(
      'use redis+sentinel://',
    );
  });

  test('a node of a Cluster is named before anything is read', async () => {
    const cluster = await startRedis({ args: ['--cluster-enabled', 'yes'] });
    onTestFinished(() => cluster.stop());
    const node = new Redis(cluster.url);
    await node.cluster('ADDSLOTSRANGE', 0, 16383);
    await eventually('the node serves its slots', async () =>
      String(await node.cluster('INFO')).includes('cluster_state:ok') ? true : undefined,
    );
    await send(node, 1);
    const service = serve(cluster.url);

    await untilReadyTells(service, '"redis":"configuration: CLUSTER"');
    expect(await node.xinfo('GROUPS', stream)).toEqual([]);
    const { code, text } = await processor(cluster.url, ['doctor']);
    expect(code).toBe(1);
    expect(text).toMatch(/failure +redis role +.*redis is a cluster: use redis\+cluster:\/\//);
    node.disconnect();
  });

  test('a node that owns all slots of a stream with a hash tag is used', async () => {
    const cluster = await startRedis({ args: ['--cluster-enabled', 'yes'] });
    onTestFinished(() => cluster.stop());
    const node = new Redis(cluster.url);
    await node.cluster('ADDSLOTSRANGE', 0, 16383);
    await eventually('the node serves its slots', async () =>
      String(await node.cluster('INFO')).includes('cluster_state:ok') ? true : undefined,
    );
    const tagged = { REDIS_TELEMETRY_STREAM: `{${stream}}` };
    const service = serve(cluster.url, tagged);
    await service.untilReady();
    expect((await processor(cluster.url, ['doctor'], tagged)).text).toMatch(/warning +redis role/);
    // The slot moves away: MOVED waits for a person.
    await node.cluster('DELSLOTSRANGE', 0, 16383);

    await untilReadyTells(service, '"redis":"configuration: CLUSTERDOWN"');
    node.disconnect();
  });

  test('a replica is named and left alone until it is promoted, and then works', async () => {
    const primary = await startRedis();
    const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(primary.port)] });
    onTestFinished(async () => {
      await replica.stop();
      await primary.stop();
    });
    const onPrimary = new Redis(primary.url);
    await send(onPrimary, 1);
    const admin = new Redis(replica.url);
    await eventually('the entry is replicated', async () =>
      (await admin.xlen(stream)) === 1 ? true : undefined,
    );
    const service = serve(replica.url);

    await untilReadyTells(service, '"redis":"configuration: REPLICA"');
    const { code, text } = await processor(replica.url, ['doctor']);
    expect(code).toBe(1);
    expect(text).toMatch(/failure +redis role +.*replica.*primary/);
    await admin.replicaof('NO', 'ONE');
    await service.untilReady();
    await eventually('the record is stored', async () =>
      (await stored()) === 1 ? true : undefined,
    );

    // Demoted while it runs: the connection answers READONLY, the next one says why.
    await admin.replicaof('127.0.0.1', primary.port);
    await untilReadyTells(service, '"redis":"configuration: REPLICA"');
    await admin.replicaof('NO', 'ONE');
    await service.untilReady();
    onPrimary.disconnect();
    admin.disconnect();
  });
});
