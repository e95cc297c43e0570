import type pg from 'pg';
import { MigrationError } from './migration-error.ts';
import { oneRow } from './one-row.ts';
import {
  checkTimescaleVersion,
  isHypertable,
  readTimescale,
  type Timescale,
  usableTimescale,
} from './timescale.ts';

export interface StorageOptions {
  /** `optional` accepts a plain table where the server does not offer TimescaleDB. */
  readonly timescaledb: 'required' | 'optional';
  readonly chunkIntervalMs: number;
}

/** Storage of `positions`, for the start-up log and readiness. */
export type Storage =
  | {
      readonly kind: 'hypertable';
      readonly timescaledb: string;
      readonly edition: 'community' | 'apache';
      readonly chunkIntervalMs: number;
    }
  | {
      readonly kind: 'plain table';
      /** The server offers TimescaleDB without loading it. */
      readonly isOffered?: true;
    };

/** Advice for a server that offers TimescaleDB without loading it. */
export const preloadAdvice =
  'the server offers TimescaleDB without loading it: add timescaledb to shared_preload_libraries in postgresql.conf and restart the server';

/**
 * Makes `positions` a hypertable with the configured chunk interval, or leaves it a plain
 * table where `timescaledb` is `optional` and the extension is not offered. Idempotent.
 * A changed interval applies only to new chunks.
 */
export async function applyStorage(client: pg.Client, options: StorageOptions): Promise<void> {
  if (!(await ensureExtension(client, options))) return;
  const timescale = await usableTimescale(client);
  if (timescale === null) return;
  const { chunkIntervalMs } = options;
  if (await isHypertable(client)) await setChunkInterval(client, timescale, chunkIntervalMs);
  else await createHypertable(client, timescale, chunkIntervalMs);
}

/** Reads the storage. @throws MigrationError if a hypertable is required and `positions` is not one */
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
  const { offered, loaded } = await readExtension(client);
  if (options.timescaledb === 'optional') {
    return offered && !loaded ? { kind: 'plain table', isOffered: true } : { kind: 'plain table' };
  }
  if (offered && !loaded) throw new MigrationError('timescaledb_not_loaded', preloadAdvice);
  throw new MigrationError(
    'timescaledb_missing',
    "positions is not a hypertable: run 'processor migrate up', or set TIMESCALEDB=optional to accept a plain table",
  );
}

export interface Extension {
  readonly offered: boolean;
  readonly installed: boolean;
  /** Whether it is preloaded, recognised by its settings: shared_preload_libraries needs a superuser. */
  readonly loaded: boolean;
}

export async function readExtension(client: pg.ClientBase): Promise<Extension> {
  // pg_available_extensions reads a file of every extension of the server: some 20 ms of a start.
  const { rows } = await client.query<Extension>(`
    SELECT CASE WHEN installed THEN true ELSE
             EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') END AS offered,
           installed,
           EXISTS (SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%') AS loaded
      FROM (SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS installed) AS e`);
  return oneRow(rows);
}

/**
 * Checks that TimescaleDB is loaded: without its library every use of a hypertable is a FATAL error.
 * @throws MigrationError if the extension is installed but not loaded
 */
export async function checkLoaded(client: pg.Client): Promise<void> {
  const { installed, loaded } = await readExtension(client);
  if (installed && !loaded) throw new MigrationError('timescaledb_not_loaded', preloadAdvice);
}

async function ensureExtension(client: pg.Client, options: StorageOptions): Promise<boolean> {
  const { offered, installed, loaded } = await readExtension(client);
  if (installed) return true;
  if (offered && loaded) {
    // The schema is named, because the session's search path has none to create objects in.
    await client.query('CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public');
    return true;
  }
  if (options.timescaledb === 'optional') return false;
  if (offered) {
    const advice = `${preloadAdvice}; or set TIMESCALEDB=optional to store positions in a plain table`;
    throw new MigrationError('timescaledb_not_loaded', advice);
  }
  throw new MigrationError(
    'timescaledb_missing',
    'the server does not offer the timescaledb extension: install it, or set TIMESCALEDB=optional to store positions in a plain table',
  );
}

async function createHypertable(
  client: pg.Client,
  { schema }: Timescale,
  chunkIntervalMs: number,
): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM public.positions LIMIT 1');
  if (rowCount !== 0) {
    throw new MigrationError(
      'plain_table_has_rows',
      "positions is a plain table with rows; converting it locks it for long. Do it in a maintenance window: SELECT public.create_hypertable('public.positions', public.by_range('ts'), migrate_data => true)",
    );
  }
  // The default index on ts alone would double the index work of every insert.
  await client.query(
    `SELECT ${schema}.create_hypertable('public.positions', ${schema}.by_range('ts', $1::interval), create_default_indexes => false)`,
    [`${chunkIntervalMs} milliseconds`],
  );
}

async function setChunkInterval(
  client: pg.Client,
  { schema }: Timescale,
  chunkIntervalMs: number,
): Promise<void> {
  const interval = `${chunkIntervalMs} milliseconds`;
  const { rowCount } = await client.query(
    `SELECT FROM timescaledb_information.dimensions
     WHERE hypertable_name = 'positions' AND hypertable_schema = 'public'
       AND column_name = 'ts' AND time_interval = $1::interval`,
    [interval],
  );
  if (rowCount === 0)
    await client.query(
      `SELECT ${schema}.set_chunk_time_interval('public.positions', $1::interval)`,
      [interval],
    );
}
