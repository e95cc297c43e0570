/** A service with DOMAIN=on, the collections of a fleet, and geofences along a road. */
import { Redis } from 'ioredis';
import type pg from 'pg';
import { onTestFailed, onTestFinished } from 'vitest';
import type { DeviceId } from '../../src/core/types.ts';
import {
  createDirectus,
  insertAssignment,
  insertDevice,
  insertGeofence,
  insertVehicle,
} from '../../tools/domain-fixture.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { connect, deviceId } from '../db/positions.ts';
import { northOf, roadLongitude, squareAt } from '../domain/road.ts';
import { type FreshDatabase, freshDatabase, freshStream, redisUrl } from '../setup/database.ts';

/** Recent, because the service refuses old records. */
export const startTs = Math.floor(Date.now() / 1000) * 1000 - 7_200_000;

export interface World {
  readonly url: string;
  readonly client: pg.Client;
  /** Starts one more instance. */
  service(env?: Readonly<Record<string, string>>): RunningService;
  /** A device of the fleet with its vehicle. @returns its key */
  register(imei: DeviceId, validFrom?: Date): Promise<string>;
  /** Sends one record for each second from `second` on, 10 m north each. */
  drive(imei: DeviceId, seconds: readonly number[]): Promise<void>;
  positions(): Promise<number>;
  pending(): Promise<number>;
  /** Live records as `direction metres` in order, of one device key. */
  crossings(device: string): Promise<readonly string[]>;
  untilCrossings(device: string, wanted: readonly string[]): Promise<void>;
}

export interface WorldOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** As a superuser; a fresh one when absent. */
  readonly database?: FreshDatabase;
  /** The role that the contract is granted to; none when the service is a superuser. */
  readonly domainRole?: string;
}

/** Call it inside a test: what it starts ends with the test. */
export async function openWorld({
  env = {},
  database,
  domainRole,
}: WorldOptions = {}): Promise<World> {
  const { url, drop } = database ?? (await freshDatabase());
  onTestFinished(drop);
  const client = await connect(url);
  await createDirectus(client, 'fleet', { domainRole: domainRole ?? null });
  const stream = freshStream();
  const redis = new Redis(redisUrl());
  onTestFinished(async () => {
    await redis.del(stream.key, `${stream.key}:dlq`);
    redis.disconnect();
  });

  return {
    url,
    client,
    service(more = {}) {
      const started = startService({
        REDIS_URL: redisUrl(),
        POSTGRES_URL: url,
        REDIS_TELEMETRY_STREAM: stream.key,
        DEAD_LETTER_STREAM: `${stream.key}:dlq`,
        REDIS_CONSUMER_GROUP: stream.group,
        CONSUMER_NAME: 'one',
        DOMAIN: 'on',
        DOMAIN_SUBJECT_COLUMN: 'vehicle',
        DOMAIN_POLL_MS: '1000',
        ...env,
        ...more,
      });
      onTestFinished(async () => {
        await started.end('SIGKILL');
      });
      onTestFailed(() => {
        const last = started.logs.slice(-20).map((line) => JSON.stringify(line));
        process.stderr.write(`${started.stderr()}\n${last.join('\n')}\n`);
      });
      return started;
    },
    async register(imei, validFrom = new Date(0)) {
      const device = await insertDevice(client, imei);
      const vehicle = await insertVehicle(client, `vehicle of ${imei}`);
      await insertAssignment(client, device, vehicle, { validFrom });
      return device;
    },
    async drive(imei, seconds) {
      const pipeline = redis.pipeline();
      for (const second of seconds) pipeline.xadd(stream.key, '*', ...entry(imei, second));
      await pipeline.exec();
    },
    async positions() {
      const { rows } = await client.query<{ rows: number }>(
        'SELECT count(*)::int AS rows FROM public.positions',
      );
      return rows[0]?.rows ?? 0;
    },
    async pending() {
      const [count] = (await redis.xpending(stream.key, stream.group)) as [number];
      return count;
    },
    crossings: (device) => readCrossings(client, device),
    async untilCrossings(device, wanted) {
      let last: readonly string[] = [];
      try {
        await eventually('the crossings are stored', async () => {
          last = await readCrossings(client, device);
          return JSON.stringify(last) === JSON.stringify(wanted) ? true : undefined;
        });
      } catch (error) {
        throw new Error(`crossings are ${JSON.stringify(last)}`, { cause: error });
      }
    },
  };
}

export const imei = deviceId;

export async function fenceAt(client: pg.ClientBase, metres: number): Promise<string> {
  return await insertGeofence(client, { shape: squareAt(metres), marginM: 0 });
}

function entry(device: DeviceId, second: number): string[] {
  const ts = new Date(startTs + second * 1000).toISOString();
  const payload = {
    device_id: device,
    timestamp: ts,
    latitude: northOf(second * 10),
    longitude: roadLongitude,
    altitude: 100,
    angle: 0,
    speed: 36,
    satellites: 9,
    priority: 0,
    event_io_id: 0,
    attributes: { '239': 1 },
  };
  return ['device_id', device, 'ts', ts, 'codec', '8E', 'payload', JSON.stringify(payload)];
}

/** Metres are where the device was at that time, rounded: 10 a second. */
async function readCrossings(client: pg.ClientBase, device: string): Promise<readonly string[]> {
  const { rows } = await client.query<{ direction: string; seconds: number }>(
    `SELECT direction, extract(epoch FROM at - to_timestamp($2::float8 / 1000))::float8 AS seconds
       FROM public.timing_records
      WHERE device = $1 AND superseded_at IS NULL AND source = 'processor'
      ORDER BY at, direction`,
    [device, startTs],
  );
  return rows.map(({ direction, seconds }) => `${direction} ${Math.round(seconds * 10)}`);
}
