import type pg from 'pg';
import { intervalText, type Timescale } from './timescale.ts';

/** Configuration of the aggregates; a refresh covers at most the retention time. */
export interface AggregateOptions {
  readonly aggregates: boolean;
  readonly retentionMs: number | null;
}

/** Views in the schema `positions`; days are computed from hours. */
const aggregates = [
  {
    name: 'device_hours',
    every: '1 hour',
    definition: (timescaledb: string) => `
SELECT device_id, ${timescaledb}.time_bucket(INTERVAL '1 hour', ts) AS bucket,
       count(*) AS records,
       count(*) FILTER (WHERE fix) AS fixes,
       count(*) FILTER (WHERE fix AND speed > 0) AS moving_fixes,
       min(ts) AS first_ts, max(ts) AS last_ts,
       max(speed) FILTER (WHERE fix) AS max_speed,
       max(ts) FILTER (WHERE fix) AS last_fix_ts,
       ${timescaledb}.last(latitude, ts) FILTER (WHERE fix) AS last_latitude,
       ${timescaledb}.last(longitude, ts) FILTER (WHERE fix) AS last_longitude
  FROM public.positions GROUP BY 1, 2`,
  },
  {
    name: 'device_days',
    every: '1 day',
    definition: (timescaledb: string) => `
SELECT device_id, ${timescaledb}.time_bucket(INTERVAL '1 day', bucket) AS bucket,
       sum(records)::bigint AS records,
       sum(fixes)::bigint AS fixes,
       sum(moving_fixes)::bigint AS moving_fixes,
       min(first_ts) AS first_ts, max(last_ts) AS last_ts,
       max(max_speed) AS max_speed,
       max(last_fix_ts) AS last_fix_ts,
       ${timescaledb}.last(last_latitude, last_fix_ts) FILTER (WHERE last_fix_ts IS NOT NULL) AS last_latitude,
       ${timescaledb}.last(last_longitude, last_fix_ts) FILTER (WHERE last_fix_ts IS NOT NULL) AS last_longitude
  FROM positions.device_hours GROUP BY 1, 2`,
  },
] as const;

/**
 * Creates the continuous aggregates and their refresh, or drops them. TimescaleDB's job fills them;
 * times that it has not reached yet are read from positions.
 * @returns why they cannot be dropped; null if they are as configured
 */
export async function applyAggregates(
  client: pg.ClientBase,
  { schema }: Timescale,
  { aggregates: wanted, retentionMs }: AggregateOptions,
): Promise<string | null> {
  if (!wanted) return await dropAggregates(client);
  // A refresh over dropped chunks would empty their buckets. Days are computed from hours, which
  // are kept.
  const startOf = { device_hours: retentionMs, device_days: null };
  for (const { name, every, definition } of aggregates) {
    const view = `positions.${name}`;
    if (!(await exists(client, name))) {
      await client.query(
        `CREATE MATERIALIZED VIEW ${view} WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS ${definition(schema)} WITH NO DATA`,
      );
    }
    const start = await readStartOffset(client, name);
    if (start !== undefined && start === startOf[name]) continue;
    if (start !== undefined) {
      await client.query(`SELECT ${schema}.remove_continuous_aggregate_policy('${view}')`);
    }
    const startMs = startOf[name];
    const startOffset = startMs === null ? 'NULL' : `INTERVAL '${intervalText(startMs)}'`;
    await client.query(
      `SELECT ${schema}.add_continuous_aggregate_policy('${view}', start_offset => ${startOffset},
         end_offset => INTERVAL '${every}', schedule_interval => INTERVAL '1 hour')`,
    );
  }
  return null;
}

/** Whether both aggregates exist. */
export async function describeAggregates(client: pg.ClientBase): Promise<boolean> {
  for (const { name } of aggregates) if (!(await exists(client, name))) return false;
  return true;
}

async function dropAggregates(client: pg.ClientBase): Promise<string | null> {
  for (const { name } of aggregates) {
    if ((await exists(client, name)) && (await holdsMoreThanPositions(client, name))) {
      return `positions.${name} holds times whose records are deleted, and would be lost permanently: set AGGREGATES=on, or drop it with DROP MATERIALIZED VIEW`;
    }
  }
  for (const { name } of aggregates.toReversed()) {
    if (await exists(client, name)) await client.query(`DROP MATERIALIZED VIEW positions.${name}`);
  }
  return null;
}

async function exists(client: pg.ClientBase, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM timescaledb_information.continuous_aggregates
      WHERE view_schema = 'positions' AND view_name = $1`,
    [name],
  );
  return rowCount === 1;
}

async function holdsMoreThanPositions(client: pg.ClientBase, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM positions.${name} WHERE bucket < coalesce(
       (SELECT min(range_start) FROM timescaledb_information.chunks
         WHERE hypertable_schema = 'public' AND hypertable_name = 'positions'),
       'infinity'::timestamptz) LIMIT 1`,
  );
  return rowCount !== 0;
}

/** Start offset of the refresh policy in ms; null for the beginning, undefined without a policy. */
async function readStartOffset(
  client: pg.ClientBase,
  name: string,
): Promise<number | null | undefined> {
  const { rows } = await client.query<{ start_ms: number | null }>(
    `SELECT (extract(epoch FROM (job.config->>'start_offset')::interval) * 1000)::float8 AS start_ms
       FROM timescaledb_information.jobs AS job
       JOIN timescaledb_information.continuous_aggregates AS aggregate
         ON (job.hypertable_schema, job.hypertable_name) IN (
              (aggregate.view_schema, aggregate.view_name),
              (aggregate.materialization_hypertable_schema, aggregate.materialization_hypertable_name))
      WHERE job.proc_name = 'policy_refresh_continuous_aggregate'
        AND aggregate.view_schema = 'positions' AND aggregate.view_name = $1`,
    [name],
  );
  return rows[0]?.start_ms;
}
