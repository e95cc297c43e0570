import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type LocalServer, startPostgres, startRedis } from '../../tools/servers/servers.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { migrations } from '../db/positions.ts';
import { freshDatabase } from '../setup/database.ts';

const stream = 'telemetry:teltonika';

describe('the service, as real processes against real servers', () => {
  let redisServer: LocalServer;
  let redis: Redis;
  let database: { url: string; drop(): Promise<void> };
  let running: RunningService[] = [];

  beforeAll(async () => {
    redisServer = await startRedis({ durability: 'real' });
    redis = new Redis(redisServer.url);
  });
  afterAll(async () => {
    redis.disconnect();
    await redisServer.stop();
  });
  beforeEach(async () => {
    await redis.flushall();
    database = await freshDatabase();
  });
  afterEach(async () => {
    for (const service of running) await service.end('SIGKILL');
    running = [];
    await database.drop();
  });

  function service(env: Record<string, string> = {}): RunningService {
    const started = startService({
      REDIS_URL: redisServer.url,
      POSTGRES_URL: database.url,
      CONSUMER_NAME: 'one',
      ...env,
    });
    running.push(started);
    return started;
  }

  async function send(count: number, from = 0): Promise<void> {
    const pipeline = redis.pipeline();
    for (let index = from; index < from + count; index += 1)
      pipeline.xadd(stream, '*', ...entry(index));
    await pipeline.exec();
  }

  async function count(sql: string, url = database.url): Promise<number> {
    const client = new pg.Client(url);
    await client.connect();
    const { rows } = await client.query<{ count: string }>(sql);
    await client.end();
    return Number(rows[0]?.count);
  }

  const positions = (url?: string) => count('SELECT count(*) FROM public.positions', url);

  async function untilSettled(): Promise<void> {
    await eventually('nothing is pending or undelivered', async () => {
      const [group] = (await redis.xinfo('GROUPS', stream)) as unknown[][];
      const field = (name: string) => group?.[group.indexOf(name) + 1];
      return field('pending') === 0 && field('lag') === 0 ? true : undefined;
    });
  }

  test('stores what it should, dead-letters what it must, and acknowledges everything', async () => {
    const one = service();
    await one.untilReady();
    await send(500);
    await send(100); // the same again: duplicates
    await redis.xadd(stream, '*', ...entry(0, { speed: 99 })); // same key, other content
    await redis.xadd(stream, '*', 'device_id', imei(1), 'frame_hex', '0000');
    await redis.xadd(stream, '*', 'device_id', imei(1), 'frame_hex', message);
    await redis.xadd(stream, '*', 'nonsense', 'x');
    await untilSettled();
    expect(await positions()).toBe(500);
    const letters = await redis.xrange(`${stream}:dlq`, '-', '+');
    expect(letters.map(([, fields]) => fields[fields.indexOf('reason') + 1]).sort()).toEqual([
      'conflict',
      'field_missing',
      'truncated',
    ]);
    expect(await one.end('SIGTERM')).toBe(0);
    expect(one.logs.at(-1)).toMatchObject({
      msg: 'stopped; nothing left in flight',
      read: 604,
      settled: { inserted: 500, duplicate: 100, conflict: 1, dead_letter: 2, message: 1, lost: 0 },
    });
  });

  test('two instances start at once on an empty database: each migration is applied once, both share the work', async () => {
    const [one, two] = [service(), service({ CONSUMER_NAME: 'two' })];
    await Promise.all([one.untilReady(), two.untilReady()]);
    const applied = [one, two].map(
      ({ logs }) => logs.find(({ msg }) => msg === 'schema is up to date')?.applied,
    );
    expect(applied.flat().toSorted()).toEqual(migrations.map(({ name }) => name));
    await send(3000);
    await untilSettled();
    expect(await positions()).toBe(3000);
    const inserted = 'processor_records_total{outcome="inserted"}';
    expect((await one.metric(inserted)) + (await two.metric(inserted))).toBe(3000);
  });

  test('SIGTERM in the middle of the work: exit 0, and nothing is left pending', async () => {
    await send(20_000);
    const one = service({ BATCH_ROWS: '200' });
    await eventually('rows arrive', async () =>
      (await one.metric('processor_records_total{outcome="inserted"}')) > 0 ? true : undefined,
    );
    expect(await one.end('SIGTERM')).toBe(0);
    const summary = (await redis.xpending(stream, 'processor')) as [number];
    expect(summary[0]).toBe(0);
    const two = service();
    await two.untilReady();
    await untilSettled();
    expect(await positions()).toBe(20_000);
  });

  test('kill -9 in the middle of the work: its next life takes up what was pending', async () => {
    await send(20_000);
    const one = service({ BATCH_ROWS: '200' });
    await eventually('rows arrive', async () =>
      (await one.metric('processor_records_total{outcome="inserted"}')) > 0 ? true : undefined,
    );
    await one.end('SIGKILL');
    const two = service();
    await two.untilReady();
    await untilSettled();
    expect(await positions()).toBe(20_000);
    expect(await redis.exists(`${stream}:dlq`)).toBe(0);
  });

  test('the entries of an instance that died are taken over by another', async () => {
    await send(20_000);
    const one = service({ BATCH_ROWS: '200' });
    await eventually('rows arrive', async () =>
      (await one.metric('processor_records_total{outcome="inserted"}')) > 0 ? true : undefined,
    );
    await one.end('SIGKILL');
    const two = service({
      CONSUMER_NAME: 'two',
      CLAIM_THRESHOLD_MS: '1500',
      CLAIM_INTERVAL_MS: '300',
      DRAIN_BUDGET_MS: '1400',
      INSERT_DEADLINE_MS: '1300',
      STATEMENT_TIMEOUT_MS: '1200',
      LOCK_TIMEOUT_MS: '500',
    });
    await two.untilReady();
    await untilSettled();
    expect(await positions()).toBe(20_000);
    expect(await two.metric('processor_claims_total')).toBeGreaterThan(0);
  });

  test('a database that is down pauses reading and loses nothing', async () => {
    const postgres = await startPostgres({ durability: 'real' });
    try {
      const one = service({ POSTGRES_URL: postgres.url });
      await one.untilReady();
      await send(1000);
      await untilSettled();
      await postgres.kill('SIGKILL');
      await send(1000, 1000);
      await eventually('readiness is off', async () =>
        (await one.health('ready')) === 503 ? true : undefined,
      );
      expect(await one.health('live')).toBe(200);
      await postgres.restart();
      await one.untilReady();
      await untilSettled();
      expect(await positions(postgres.url)).toBe(2000);
      expect(await redis.exists(`${stream}:dlq`)).toBe(0);
      expect(await one.end('SIGTERM')).toBe(0);
    } finally {
      await postgres.stop();
    }
  });

  test('a Redis that restarts is read again without a restart of the service', async () => {
    const one = service();
    await one.untilReady();
    await send(1000);
    await redisServer.restart();
    await eventually('our own client is back', async () =>
      redis.ping().then(
        () => true,
        () => undefined,
      ),
    );
    await send(1000, 1000);
    await untilSettled();
    expect(await positions()).toBe(2000);
  });

  test('a missing table makes the service not ready and dead-letters nothing', async () => {
    const one = service();
    await one.untilReady();
    const client = new pg.Client(database.url);
    await client.connect();
    await client.query('ALTER TABLE public.positions RENAME TO elsewhere');
    await send(50);
    await eventually('readiness is off', async () =>
      (await one.health('ready')) === 503 ? true : undefined,
    );
    expect(await redis.exists(`${stream}:dlq`)).toBe(0);
    await client.query('ALTER TABLE elsewhere RENAME TO positions');
    await client.end();
    await untilSettled();
    expect(await positions()).toBe(50);
  });

  test('warns when nothing was ever written to the stream', async () => {
    const one = service();
    await one.untilReady();
    const warning = one.logs.find(
      ({ level, stream: named }) => level === 'warn' && named === stream,
    );
    expect(warning?.msg).toMatch(/nothing was ever written/);
    await eventually('the metric says so', async () =>
      (await one.metric(`processor_stream_never_written{stream="${stream}"}`)) === 1
        ? true
        : undefined,
    );
  });
});

const message = '000000000000000F0C010500000007676574696E666F0100004312';

function imei(index: number): string {
  return String(350_000_000_000_000 + index);
}

function entry(index: number, changes: object = {}): string[] {
  const device = imei(index % 50);
  const ts = new Date(Date.UTC(2026, 10, 1) + index * 1000).toISOString();
  const payload = {
    device_id: device,
    timestamp: ts,
    latitude: 54.7,
    longitude: 25.3,
    altitude: -5,
    angle: 90,
    speed: 50,
    satellites: 9,
    priority: 0,
    event_io_id: 0,
    attributes: { '239': 1, '66': 12_400 },
    ...changes,
  };
  return ['device_id', device, 'ts', ts, 'codec', '8E', 'payload', JSON.stringify(payload)];
}
