import type pg from 'pg';
import type { DeviceId } from '../core/types.ts';
import { retryLock } from './lock-retry.ts';
import { isHypertable, readTimescale } from './timescale.ts';

/** Number of rows of a device, per kind of table. */
export interface DeviceRows {
  /** Rows in positions. */
  readonly rows: number;
  /** Rows in other tables of the schema `positions`, including continuous aggregates. */
  readonly derived: number;
}

/** Rows of a plain table that one statement deletes. */
const rowsAtATime = 5000;

/** A part of `positions`: a chunk's range of time, or null for a plain table. */
type Part = { readonly from: string; readonly to: string } | null;

/** Counts the rows of a device in all tables; changes nothing. */
export async function countDevice(client: pg.ClientBase, device: DeviceId): Promise<DeviceRows> {
  let rows = 0;
  for (const part of await partsOf(client))
    rows += await count(client, 'public.positions', device, part);
  let derived = 0;
  for (const table of await derivedTables(client))
    derived += await count(client, table, device, null);
  return { rows, derived };
}

/**
 * Deletes a device from every table of the service, one chunk at a time, including compressed ones.
 * An interrupted run has done whole steps, and the next run continues.
 * @returns how many rows it deleted
 */
export async function forgetDevice(
  client: pg.ClientBase,
  device: DeviceId,
  signal: AbortSignal,
): Promise<DeviceRows> {
  let rows = 0;
  for (const part of await partsOf(client)) {
    if (signal.aborted) return { rows, derived: 0 };
    rows += await removeRows(client, device, part);
  }
  let derived = 0;
  // Last: the list of devices is how readers find rows that are left after an interruption.
  for (const table of await derivedTables(client)) {
    if (signal.aborted) break;
    derived += await retryLock(async () => {
      const gone = await client.query(`DELETE FROM ${table} WHERE device_id = $1`, [device]);
      return gone.rowCount ?? 0;
    });
  }
  return { rows, derived };
}

/** The chunks, oldest first: a statement over all of them would lock them all at once. */
async function partsOf(client: pg.ClientBase): Promise<Part[]> {
  if ((await readTimescale(client)) === null || !(await isHypertable(client))) return [null];
  const { rows } = await client.query<{ from: string; to: string }>(
    `SELECT range_start::text AS from, range_end::text AS to FROM timescaledb_information.chunks
      WHERE hypertable_schema = 'public' AND hypertable_name = 'positions' ORDER BY range_start`,
  );
  return rows;
}

/**
 * The tables beside `positions` that hold devices: the list of devices, what a later version adds
 * to the schema, and what continuous aggregates keep, which outlives the rows it was made of.
 */
async function derivedTables(client: pg.ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(`
    SELECT c.oid::regclass::text AS name FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
     WHERE c.relnamespace = pg_catalog.to_regnamespace('positions') AND c.relkind IN ('r', 'p')
       AND a.attname = 'device_id' AND NOT a.attisdropped ORDER BY 1`);
  const tables = rows.map(({ name }) => name);
  if ((await readTimescale(client)) === null) return tables;
  const kept = await client.query<{ name: string }>(`
    SELECT pg_catalog.quote_ident(materialization_hypertable_schema::text) || '.' ||
           pg_catalog.quote_ident(materialization_hypertable_name::text) AS name
      FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'positions'`);
  return [...kept.rows.map(({ name }) => name), ...tables];
}

const within = 'AND ts >= $2::timestamptz AND ts < $3::timestamptz';

function valuesOf(device: DeviceId, part: Part): string[] {
  return part === null ? [device] : [device, part.from, part.to];
}

async function count(
  client: pg.ClientBase,
  table: string,
  device: DeviceId,
  part: Part,
): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${table} WHERE device_id = $1 ${part === null ? '' : within}`,
    valuesOf(device, part),
  );
  return rows[0]?.count ?? 0;
}

async function removeRows(client: pg.ClientBase, device: DeviceId, part: Part): Promise<number> {
  if (part !== null) return await retryLock(() => removeFromChunk(client, valuesOf(device, part)));
  let gone = 0;
  for (;;) {
    const removed = await retryLock(async () => {
      const { rowCount } = await client.query(
        `DELETE FROM public.positions WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM public.positions WHERE device_id = $1 LIMIT ${rowsAtATime}))`,
        [device],
      );
      return rowCount ?? 0;
    });
    gone += removed;
    if (removed < rowsAtATime) return gone;
  }
}

/** A device's rows of one chunk are few, so the bound on decompressed rows is lifted for them. */
async function removeFromChunk(client: pg.ClientBase, values: readonly string[]): Promise<number> {
  await client.query('BEGIN');
  try {
    await client.query('SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0');
    const { rowCount } = await client.query(
      `DELETE FROM public.positions WHERE device_id = $1 ${within}`,
      [...values],
    );
    await client.query('COMMIT');
    return rowCount ?? 0;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}
