import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { type RunningService, startService } from '../../tools/service.ts';
import { freshDatabase } from '../setup/database.ts';
import { type Ended, runCommand } from './command.ts';

export const stream = 'telemetry:teltonika';
export const deadLetters = `${stream}:dlq`;
/** Entries are of the last days, so that every time range finds them. */
export const baseTime = Date.now() - 3_600_000;

/** A real Redis and database for the commands of one file, fresh for each test. */
export interface Stack {
  readonly redis: Redis;
  env(): Record<string, string>;
  service(name: string, env?: Readonly<Record<string, string>>): RunningService;
  processor(...words: string[]): Promise<Ended>;
  processorWith(env: Readonly<Record<string, string>>, ...words: string[]): Promise<Ended>;
  query<Row extends object>(text: string): Promise<Row[]>;
}

export function useStack(): Stack {
  let server: LocalServer;
  let redis: Redis | undefined;
  let database: { url: string; drop(): Promise<void> };
  let running: RunningService[] = [];
  beforeAll(async () => {
    server = await startRedis();
    redis = new Redis(server.url);
  });
  afterAll(async () => {
    redis?.disconnect();
    await server.stop();
  });
  beforeEach(async () => {
    await redis?.flushall();
    database = await freshDatabase();
  });
  afterEach(async () => {
    for (const service of running) {
      service.process.kill('SIGCONT');
      await service.end('SIGKILL');
    }
    running = [];
    await database.drop();
  });
  const env = () => ({ REDIS_URL: server.url, POSTGRES_URL: database.url });
  return {
    get redis() {
      if (redis === undefined) throw new Error('only within a test');
      return redis;
    },
    env,
    service(name, more = {}) {
      const started = startService({
        ...env(),
        CONSUMER_NAME: name,
        READ_BLOCK_MS: '200',
        ...more,
      });
      running.push(started);
      return started;
    },
    processor: (...words) => runCommand(env(), words),
    processorWith: (more, ...words) => runCommand({ ...env(), ...more }, words),
    async query<Row extends object>(text: string) {
      const client = new pg.Client(database.url);
      await client.connect();
      try {
        return (await client.query<Row>(text)).rows;
      } finally {
        await client.end();
      }
    },
  };
}

export function imei(index: number): string {
  return String(350_000_000_000_000 + index);
}

/** A valid payload entry, with some payload fields changed. */
export function entryFields(
  index: number,
  change: Readonly<Record<string, unknown>> = {},
): string[] {
  const device_id = imei(index);
  const timestamp = new Date(baseTime + index * 1000).toISOString();
  const payload = {
    device_id,
    timestamp,
    latitude: 54.7,
    longitude: 25.3,
    altitude: 1,
    angle: 2,
    speed: 3,
    satellites: 9,
    priority: 0,
    attributes: { '239': 1 },
    ...change,
  };
  return [
    'device_id',
    device_id,
    'ts',
    timestamp,
    'codec',
    '8',
    'payload',
    JSON.stringify(payload),
  ];
}
