import type pg from 'pg';
import { applyAggregates, describeAggregates } from './aggregates.ts';
import { applyForgetJob } from './forget-job.ts';
import {
  intervalText,
  isHypertable,
  readTimescale,
  type Timescale,
  usableTimescale,
} from './timescale.ts';

/** Configured policies of the table; null or false means off. */
export interface PolicyOptions {
  readonly columnstoreAfterMs: number | null;
  readonly retentionMs: number | null;
  readonly aggregates: boolean;
}

/** The effective policies in the database. */
export interface Policies extends PolicyOptions {
  /** Null for a plain table, which has no policies. */
  readonly edition: Timescale['edition'] | null;
  /** Null while the columnstore is off. */
  readonly segmentBy: string | null;
  readonly orderBy: string | null;
  /** Number of compressed chunks; they stay compressed if the policy is removed. */
  readonly compressedChunks: number;
}

const policyNames = ['columnstore', 'retention', 'aggregates'] as const;
export type PolicyName = (typeof policyNames)[number];

/** A configured policy that this server does not support. */
export interface PolicyRefusal {
  readonly policy: PolicyName;
  readonly advice: string;
}

const segmentBy = 'device_id';
const orderBy = 'ts DESC';

/**
 * Makes the policies what the configuration says, also where that is to take one away. Asks first
 * and changes only what differs, so a second run takes no lock. To be called in a transaction,
 * under the migration lock.
 * @returns what the server's edition cannot do; each with what to do instead
 */
export async function applyPolicies(
  client: pg.ClientBase,
  options: PolicyOptions,
): Promise<readonly PolicyRefusal[]> {
  const timescale = await usableTimescale(client);
  if (timescale === null || !(await isHypertable(client)))
    return refusals(options, 'a plain table');
  if (timescale.edition === 'apache') {
    return refusals(options, "TimescaleDB's Apache edition (timescaledb.license)");
  }
  const effective = await describePolicies(client);
  await applyColumnstore(client, timescale, effective, options.columnstoreAfterMs);
  await applyRetention(client, timescale, effective.retentionMs, options.retentionMs);
  const notAdded = await applyForgetJob(client, timescale, options.retentionMs);
  const kept = await applyAggregates(client, timescale, options);
  return [
    ...(notAdded === null ? [] : [{ policy: 'retention', advice: notAdded } as const]),
    ...(kept === null ? [] : [{ policy: 'aggregates', advice: kept } as const]),
  ];
}

function refusals(options: PolicyOptions, what: string): PolicyRefusal[] {
  const found: PolicyRefusal[] = [];
  if (options.columnstoreAfterMs !== null) {
    const advice = `${what} has no columnstore: set COLUMNSTORE_AFTER=off, or use the Community edition`;
    found.push({ policy: 'columnstore', advice });
  }
  if (options.retentionMs !== null) {
    const advice = `${what} drops nothing automatically: run 'processor retention --yes' every day`;
    found.push({ policy: 'retention', advice });
  }
  if (options.aggregates) {
    const advice = `${what} has no continuous aggregates: set AGGREGATES=off, or use the Community edition`;
    found.push({ policy: 'aggregates', advice });
  }
  return found;
}

/** Statements under the names since 2.18, and under those that a next major version removes. */
const statements = {
  columnstore: {
    enable: `ALTER TABLE public.positions SET (timescaledb.enable_columnstore = true,
      timescaledb.segmentby = '${segmentBy}', timescaledb.orderby = '${orderBy}')`,
    disable: 'ALTER TABLE public.positions SET (timescaledb.enable_columnstore = false)',
    add: (schema: string, after: string) =>
      `CALL ${schema}.add_columnstore_policy('public.positions', after => INTERVAL '${after}')`,
    remove: (schema: string) =>
      `CALL ${schema}.remove_columnstore_policy('public.positions', if_exists => true)`,
    settings: 'timescaledb_information.hypertable_columnstore_settings',
  },
  compression: {
    enable: `ALTER TABLE public.positions SET (timescaledb.compress = true,
      timescaledb.compress_segmentby = '${segmentBy}', timescaledb.compress_orderby = '${orderBy}')`,
    disable: 'ALTER TABLE public.positions SET (timescaledb.compress = false)',
    add: (schema: string, after: string) =>
      `SELECT ${schema}.add_compression_policy('public.positions', compress_after => INTERVAL '${after}')`,
    remove: (schema: string) =>
      `SELECT ${schema}.remove_compression_policy('public.positions', if_exists => true)`,
    settings: 'timescaledb_information.hypertable_compression_settings',
  },
} as const;

/** Exported for the test of the older names, which no server at hand has alone. */
export async function applyColumnstore(
  client: pg.ClientBase,
  { names, schema }: Pick<Timescale, 'names' | 'schema'>,
  effective: Policies,
  wantedMs: number | null,
): Promise<void> {
  const { enable, disable, add, remove } = statements[names];
  const isEnabled = effective.segmentBy !== null;
  if (effective.columnstoreAfterMs !== wantedMs && effective.columnstoreAfterMs !== null) {
    await client.query(remove(schema));
  }
  if (wantedMs === null) {
    // Compressed chunks need the setting; they stay readable and writable without the policy.
    if (isEnabled && effective.compressedChunks === 0) await client.query(disable);
    return;
  }
  if (effective.segmentBy !== segmentBy || effective.orderBy !== orderBy)
    await client.query(enable);
  if (effective.columnstoreAfterMs !== wantedMs)
    await client.query(add(schema, intervalText(wantedMs)));
}

async function applyRetention(
  client: pg.ClientBase,
  { schema }: Timescale,
  effectiveMs: number | null,
  wantedMs: number | null,
): Promise<void> {
  if (effectiveMs === wantedMs) return;
  if (effectiveMs !== null) {
    await client.query(`SELECT ${schema}.remove_retention_policy('public.positions')`);
  }
  if (wantedMs !== null) {
    await client.query(
      `SELECT ${schema}.add_retention_policy('public.positions', drop_after => INTERVAL '${intervalText(wantedMs)}')`,
    );
  }
}

/** Reads the effective policies, for the start-up log and `processor doctor`; changes nothing. */
export async function describePolicies(client: pg.ClientBase): Promise<Policies> {
  const timescale = await readTimescale(client);
  if (timescale === null || !(await isHypertable(client))) return noPolicies;
  const jobs = await readJobs(client);
  const settings = await readSettings(client, timescale.names);
  return {
    edition: timescale.edition,
    ...settings,
    ...jobs,
    aggregates: await describeAggregates(client),
  };
}

/** Policies that differ from the configuration: no migration ran since, or the server refused. */
export function policyDifferences(effective: PolicyOptions, wanted: PolicyOptions): PolicyName[] {
  const same: Record<PolicyName, boolean> = {
    columnstore: effective.columnstoreAfterMs === wanted.columnstoreAfterMs,
    retention: effective.retentionMs === wanted.retentionMs,
    aggregates: effective.aggregates === wanted.aggregates,
  };
  return policyNames.filter((name) => !same[name]);
}

const noPolicies: Policies = {
  edition: null,
  columnstoreAfterMs: null,
  segmentBy: null,
  orderBy: null,
  compressedChunks: 0,
  retentionMs: null,
  aggregates: false,
};

async function readJobs(
  client: pg.ClientBase,
): Promise<Pick<Policies, 'columnstoreAfterMs' | 'retentionMs'>> {
  // The columnstore's job kept the older name, so the query looks for both.
  const { rows } = await client.query<{ kind: string; after_ms: number | null }>(`
    SELECT proc_name AS kind,
           (extract(epoch FROM coalesce(config->>'compress_after', config->>'drop_after')::interval)
             * 1000)::float8 AS after_ms
      FROM timescaledb_information.jobs
     WHERE hypertable_schema = 'public' AND hypertable_name = 'positions'
       AND proc_name IN ('policy_compression', 'policy_columnstore', 'policy_retention')`);
  const after = (retention: boolean) =>
    rows.find(({ kind }) => (kind === 'policy_retention') === retention)?.after_ms ?? null;
  return { columnstoreAfterMs: after(false), retentionMs: after(true) };
}

async function readSettings(
  client: pg.ClientBase,
  names: Timescale['names'],
): Promise<Pick<Policies, 'segmentBy' | 'orderBy' | 'compressedChunks'>> {
  const { rows } = await client.query<{ by: string | null; order: string | null; chunks: number }>(`
    SELECT settings.segmentby AS by, settings.orderby AS order,
           (SELECT count(*)::int FROM timescaledb_information.chunks
             WHERE hypertable_schema = 'public' AND hypertable_name = 'positions'
               AND is_compressed) AS chunks
      FROM timescaledb_information.hypertables AS hypertable
      LEFT JOIN ${statements[names].settings} AS settings
             ON settings.hypertable = 'public.positions'::regclass AND hypertable.compression_enabled
     WHERE hypertable.hypertable_schema = 'public' AND hypertable.hypertable_name = 'positions'`);
  const [found] = rows;
  return {
    segmentBy: found?.by ?? null,
    orderBy: found?.order ?? null,
    compressedChunks: found?.chunks ?? 0,
  };
}
