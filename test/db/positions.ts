import { Client } from 'pg';
import { onTestFinished } from 'vitest';
import type { DeviceId, Logger, Position } from '../../src/core/types.ts';
import { type MigrateOptions, migrate, readMigrations } from '../../src/db/migrator.ts';
import { type Database, openDatabase } from '../../src/db/pool.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';

export const dayMs = 86_400_000;
export const someTime = Date.UTC(2026, 2, 1, 12, 0, 0, 123);

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export function deviceId(number: number): DeviceId {
  const text = String(350_000_000_000_000 + number);
  if (!isDeviceId(text)) throw new Error(`no device id: ${text}`);
  return text;
}

export function position(change: Partial<Position> = {}): Position {
  return {
    deviceId: deviceId(1),
    ts: someTime,
    latitude: 54.7146,
    longitude: 25.3032,
    altitude: 111,
    angle: 214,
    speed: 42,
    satellites: 9,
    priority: 1,
    fix: true,
    eventIoId: 240,
    generationType: null,
    codec: '8',
    attributes: '{"21":4,"66":12345}',
    recordIndex: 0,
    ...change,
  };
}

export function migrateOptions(
  url: string,
  change: Partial<Omit<MigrateOptions, 'url'>> = {},
): MigrateOptions {
  return {
    url,
    tls: null,
    connectTimeoutMs: 5000,
    lockTimeoutMs: 2000,
    migrationLockTimeoutMs: 20_000,
    mode: 'auto',
    timescaledb: 'optional',
    chunkIntervalMs: dayMs,
    columnstoreAfterMs: null,
    retentionMs: null,
    aggregates: false,
    domain: { enabled: false, recomputeHorizonMs: 30 * dayMs },
    ...change,
  };
}

export const migrations = await readMigrations(new URL('../../migrations/', import.meta.url));

/** Opens a connection to inspect a database; the caller closes it. */
export async function openClient(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** The same, closed after the test. */
export async function connect(url: string): Promise<Client> {
  const client = await openClient(url);
  onTestFinished(() => client.end());
  return client;
}

/** Creates a migrated database for one test, with a pool on it. */
export async function migratedDatabase(
  change: Partial<Omit<MigrateOptions, 'url'>> = {},
  fresh: () => Promise<FreshDatabase> = freshDatabase,
): Promise<{ database: Database; client: Client; url: string }> {
  const { url, drop } = await fresh();
  onTestFinished(drop);
  await migrate(migrations, migrateOptions(url, change), silent);
  const client = await connect(url);
  const database = openPool(url);
  return { database, client, url };
}

/** Opens a pool like the service's; closes it after the test. */
export function openPool(url: string): Database {
  const database = openDatabase(
    {
      url,
      tls: null,
      applicationName: 'processor:test',
      size: 3,
      connectTimeoutMs: 5000,
      statementTimeoutMs: 20_000,
      lockTimeoutMs: 10_000,
      deadlineMs: 25_000,
    },
    silent,
  );
  onTestFinished(() => database.close(5000));
  return database;
}
