import { Client } from 'pg';
import { onTestFinished } from 'vitest';
import type { DeviceId, Position } from '../../src/core/types.ts';
import { type MigrateOptions, migrate } from '../../src/db/migrator.ts';
import { type Database, openDatabase } from '../../src/db/pool.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';
import { type FreshDatabase, freshDatabase, freshMigrated } from '../setup/database.ts';
import { migrateOptions, migrations, silent } from './migrate-options.ts';

export { dayMs, migrateOptions, migrations, silent } from './migrate-options.ts';

export const someTime = Date.UTC(2026, 2, 1, 12, 0, 0, 123);

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
  const { url, drop } = await migratedBy(change, fresh);
  onTestFinished(drop);
  const client = await connect(url);
  const database = openPool(url);
  return { database, client, url };
}

async function migratedBy(
  change: Partial<Omit<MigrateOptions, 'url'>>,
  fresh: () => Promise<FreshDatabase>,
): Promise<FreshDatabase> {
  if (fresh === freshDatabase && Object.keys(change).length === 0) return await freshMigrated();
  const database = await fresh();
  await migrate(migrations, migrateOptions(database.url, change), silent);
  return database;
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
