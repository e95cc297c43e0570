import type pg from 'pg';
import { intervalText, type Timescale } from './timescale.ts';

/** What a person does where the role may not add the job. */
const advice =
  'the migrating role may not add the job that forgets devices without rows: run deploy/sql/roles.sql again';

interface Job {
  readonly id: number;
  readonly afterMs: number;
}

/**
 * Makes the job that forgets devices without rows what the configuration asks: beside a retention
 * policy there is one, otherwise none.
 * @returns why it could not be added; null when all is as asked
 */
export async function applyForgetJob(
  client: pg.ClientBase,
  { schema }: Timescale,
  wantedMs: number | null,
): Promise<string | null> {
  const found = await readJobs(client);
  if (found.length === 1 && found[0]?.afterMs === wantedMs) return null;
  for (const { id } of found) await client.query(`SELECT ${schema}.delete_job($1)`, [id]);
  if (wantedMs === null) return null;
  if (!(await mayAddJob(client))) return advice;
  const config = JSON.stringify({ drop_after: intervalText(wantedMs) });
  await client.query(
    `SELECT ${schema}.add_job('positions.forget_devices', INTERVAL '1 day', config => $1::jsonb)`,
    [config],
  );
  return null;
}

async function readJobs(client: pg.ClientBase): Promise<Job[]> {
  const { rows } = await client.query<{ id: number; after_ms: number }>(`
    SELECT job_id AS id,
           (extract(epoch FROM (config->>'drop_after')::interval) * 1000)::float8 AS after_ms
      FROM timescaledb_information.jobs
     WHERE proc_schema = 'positions' AND proc_name = 'forget_devices'`);
  return rows.map(({ id, after_ms: afterMs }) => ({ id, afterMs }));
}

/** roles.sql takes the right to add jobs from PUBLIC; an older one did not give it back. */
async function mayAddJob(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ may: boolean }>(`
    SELECT pg_catalog.bool_and(pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) AS may
      FROM pg_catalog.pg_proc AS p
      JOIN pg_catalog.pg_extension AS e ON e.extnamespace = p.pronamespace
     WHERE e.extname = 'timescaledb' AND p.proname = 'add_job'`);
  return rows[0]?.may === true;
}
