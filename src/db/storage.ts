import type pg from 'pg';
import { MigrationError } from './migration-error.ts';
import { checkTimescaleVersion, isHypertable, readTimescale } from './timescale.ts';

export interface StorageOptions {
  /** `optional` accepts a plain table where the server does not offer TimescaleDB. */
  readonly timescaledb: 'required' | 'optional';
  readonly chunkIntervalMs: number;
}

/** What `positions` is stored as, for the start-up log and readiness. */
export type Storage =
  | {
      readonly kind: 'hypertable';
      readonly timescaledb: string;
      readonly edition: 'community' | 'apache';
      readonly chunkIntervalMs: number;
    }
  | { readonly kind: 'plain table' };

/**
 * Makes `positions` a hypertable with the configured chunk interval, or leaves it a plain
 * table where `timescaledb` is `optional` and the extension is not offered. Idempotent.
 * A changed interval holds for new chunks only.
 */
export async function applyStorage(client: pg.Client, options: StorageOptions): Promise<void> {
  if (!(await ensureExtension(client, options))) return;
  if (await isHypertable(client)) await setChunkInterval(client, options.chunkIntervalMs);
  else await createHypertable(client, options.chunkIntervalMs);
}

/** @throws MigrationError when a hypertable is required and `positions` is none. */
export async function describeStorage(
  client: pg.Client,
  options: StorageOptions,
): Promise<Storage> {
  const timescale = await readTimescale(client);
  if (timescale !== null && (await isHypertable(client))) {
    const { version, edition } = timescale;
    checkTimescaleVersion(version);
    const { chunkIntervalMs } = options;
    return { kind: 'hypertable', timescaledb: version, edition, chunkIntervalMs };
  }
  if (options.timescaledb === 'optional') return { kind: 'plain table' };
  throw new MigrationError(
    'timescaledb_missing',
    "positions is not a hypertable: run 'processor migrate up', or set TIMESCALEDB=optional to accept a plain table",
  );
}

async function ensureExtension(client: pg.Client, options: StorageOptions): Promise<boolean> {
  const { rows } = await client.query<{ offered: boolean; installed: boolean }>(`
    SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS offered,
           EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS installed`);
  const { offered = false, installed = false } = rows[0] ?? {};
  if (installed) return true;
  if (!offered) {
    if (options.timescaledb === 'optional') return false;
    throw new MigrationError(
      'timescaledb_missing',
      'the server does not offer the timescaledb extension: install it, or set TIMESCALEDB=optional to store positions in a plain table',
    );
  }
  await client.query('CREATE EXTENSION IF NOT EXISTS timescaledb');
  return true;
}

async function createHypertable(client: pg.Client, chunkIntervalMs: number): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM positions LIMIT 1');
  if (rowCount !== 0) {
    throw new MigrationError(
      'plain_table_has_rows',
      "positions is a plain table with rows; converting it locks it for long. Do it in a maintenance window: SELECT create_hypertable('positions', by_range('ts'), migrate_data => true)",
    );
  }
  // The default index on ts alone would double the index work of every insert.
  await client.query(
    "SELECT create_hypertable('positions', by_range('ts', $1::interval), create_default_indexes => false)",
    [`${chunkIntervalMs} milliseconds`],
  );
}

async function setChunkInterval(client: pg.Client, chunkIntervalMs: number): Promise<void> {
  const interval = `${chunkIntervalMs} milliseconds`;
  const { rowCount } = await client.query(
    `SELECT FROM timescaledb_information.dimensions
     WHERE hypertable_name = 'positions' AND hypertable_schema = current_schema()
       AND column_name = 'ts' AND time_interval = $1::interval`,
    [interval],
  );
  if (rowCount === 0)
    await client.query("SELECT set_chunk_time_interval('positions', $1::interval)", [interval]);
}
