import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { freshDatabase } from '../setup/database.ts';

const stream = 'telemetry:teltonika';
const run = promisify(execFile);

describe('what operators switch at run time', () => {
  let redisServer: LocalServer;
  let redis: Redis;
  let database: { url: string; drop(): Promise<void> };
  let running: RunningService[] = [];

  beforeAll(async () => {
    redisServer = await startRedis();
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

  const env = () => ({ REDIS_URL: redisServer.url, POSTGRES_URL: database.url });

  function service(name: string): RunningService {
    const started = startService({ ...env(), CONSUMER_NAME: name, READ_BLOCK_MS: '200' });
    running.push(started);
    return started;
  }

  async function processor(...words: string[]) {
    try {
      const { stdout } = await run(process.execPath, [programFile(), ...words], {
        env: { ...childEnvironment(), ...env() },
      });
      return { code: 0, stdout };
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error;
      return { code: error.code, stdout: '' };
    }
  }

  async function send(from: number, count: number): Promise<void> {
    for (let index = from; index < from + count; index += 1) {
      const device_id = String(350_000_000_000_000 + index);
      const timestamp = new Date(Date.UTC(2026, 10, 1) + index * 1000).toISOString();
      const place = { latitude: 54.7, longitude: 25.3, altitude: 1, angle: 2, speed: 3 };
      const rest = { satellites: 9, priority: 0, attributes: { '239': 1 } };
      const payload = JSON.stringify({ device_id, timestamp, ...place, ...rest });
      const fields = { device_id, ts: timestamp, codec: '8', payload };
      await redis.xadd(stream, '*', ...Object.entries(fields).flat());
    }
  }

  async function stored(): Promise<number> {
    const client = new pg.Client(database.url);
    await client.connect();
    const { rows } = await client.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM public.positions',
    );
    await client.end();
    return rows[0]?.count ?? -1;
  }

  const untilStored = (count: number) =>
    eventually(`${count} rows are stored`, async () =>
      (await stored()) === count ? true : undefined,
    );
  const untilPaused = (one: RunningService, value: 0 | 1) =>
    eventually(`paused is ${value}`, async () =>
      (await one.metric('processor_consumption_paused')) === value ? true : undefined,
    );

  test('pause stops every instance, also one that starts meanwhile; resume starts all', async () => {
    const one = service('one');
    await one.untilReady();
    await send(0, 10);
    await untilStored(10);
    expect((await processor('pause', '--reason', 'test', '--yes', '--by', 'anna')).code).toBe(0);
    await untilPaused(one, 1);
    // The read that was waiting ends with nothing.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await send(10, 10);
    const two = service('two');
    await untilPaused(two, 1);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await stored()).toBe(10);
    expect([await one.health('ready'), await one.health('live')]).toEqual([503, 200]);
    await eventually('the second instance has started', async () =>
      (await two.health('startup')) === 200 ? true : undefined,
    );

    const resumed = await processor('resume', '--yes', '--json', '--by', 'ben');
    expect(JSON.parse(resumed.stdout)).toMatchObject({
      resumed: true,
      pause: { by: 'anna', reason: 'test' },
    });
    await untilStored(20);
    await Promise.all([one.untilReady(), two.untilReady()]);
    const audit = await redis.xrange(`${stream}:control:audit`, '-', '+');
    expect(audit.map(([, fields]) => `${fields[1]} ${fields[3]}`)).toEqual([
      'anna pause',
      'ben resume',
    ]);
    const paused = one.logs.find(({ msg }) => msg === 'consumption paused');
    expect(paused).toMatchObject({ level: 'warn', paused_by: 'anna', reason: 'test' });
  });

  test('without --yes and without a terminal nothing is done; --dry-run only reports', async () => {
    expect((await processor('pause', '--reason', 'test')).code).toBe(2);
    expect((await processor('pause', '--reason', 'test', '--dry-run')).stdout).toMatch(/would/);
    expect(await redis.keys('*')).toEqual([]);
  });

  test('device rehydrate makes a running instance look the device up again', async () => {
    const one = service('one');
    await one.untilReady();
    await send(0, 1);
    await untilStored(1);
    const lookups = () => one.metric('processor_device_state_misses_total');
    await send(0, 1);
    await eventually('the second record came', async () =>
      (await one.metric('processor_records_total{outcome="duplicate"}')) === 1 ? true : undefined,
    );
    expect(await lookups()).toBe(1);
    expect((await processor('device', 'rehydrate', '350000000000000', '--yes')).code).toBe(0);
    await eventually('the request was carried out', async () =>
      (await one.metric('processor_control_requests_total')) === 1 ? true : undefined,
    );
    await send(0, 1);
    await eventually('it was looked up', async () =>
      (await one.metric('processor_rehydrations_total{result="found"}')) === 1 ? true : undefined,
    );
    expect(await lookups()).toBe(2);
    expect(JSON.stringify(one.logs)).not.toContain('350000000000000');
  });
});
