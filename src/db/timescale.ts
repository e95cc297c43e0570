import type pg from 'pg';
import { DependencyError } from '../core/types.ts';
import { MigrationError } from './migration-error.ts';

/** Version, edition and functions of the server's TimescaleDB. */
export interface Timescale {
  readonly version: string;
  /** The Apache edition has hypertables and drop_chunks, but no policies and no columnstore. */
  readonly edition: 'community' | 'apache';
  /** Names of its functions: columnstore since 2.18, compression before. */
  readonly names: 'columnstore' | 'compression';
  /** The schema of its functions, as SQL takes it. */
  readonly schema: string;
  /** Functions in that schema that have the name of one of the extension but do not belong to it. */
  readonly foreign: readonly string[];
}

/**
 * The functions of TimescaleDB that are called here. Their parameters are polymorphic or have
 * defaults, so a function of the same name and schema could match a call better.
 */
const calledFunctions = [
  'create_hypertable',
  'by_range',
  'set_chunk_time_interval',
  'drop_chunks',
  'add_columnstore_policy',
  'remove_columnstore_policy',
  'add_compression_policy',
  'remove_compression_policy',
  'add_retention_policy',
  'remove_retention_policy',
  'add_job',
  'delete_job',
  'add_continuous_aggregate_policy',
  'remove_continuous_aggregate_policy',
  'time_bucket',
  'last',
];

/**
 * Before 2.18.1 ON CONFLICT DO NOTHING on compressed chunks stopped at the first conflict and
 * lost the rest of the statement (timescaledb#7672); 2.19.1 is the oldest supported version.
 */
export const oldestTimescaledb = '2.19.1';

const ofExtension = `EXISTS (SELECT FROM pg_catalog.pg_depend AS d
   WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
     AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid
     AND d.deptype = 'e')`;

const timescaleStatement = `
  SELECT e.extversion AS version, pg_catalog.quote_ident(n.nspname) AS schema,
         coalesce(pg_catalog.current_setting('timescaledb.license', true), '') AS license,
         EXISTS (SELECT FROM pg_catalog.pg_proc AS p
                  WHERE p.pronamespace = e.extnamespace AND p.proname = 'add_columnstore_policy'
                    AND ${ofExtension}) AS renamed,
         ARRAY(SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc AS p
                WHERE p.pronamespace = e.extnamespace AND p.proname = ANY ($1::name[])
                  AND NOT ${ofExtension} ORDER BY 1 LIMIT 5) AS foreign
    FROM pg_catalog.pg_extension AS e
    JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
   WHERE e.extname = 'timescaledb'`;

/** Reads the extension; null if it is not installed in this database. */
export async function readTimescale(client: pg.ClientBase): Promise<Timescale | null> {
  const { rows } = await client.query<{
    version: string;
    schema: string;
    license: string;
    renamed: boolean;
    foreign: string[];
  }>(timescaleStatement, [calledFunctions]);
  const [found] = rows;
  if (found === undefined) return null;
  return {
    version: found.version,
    edition: found.license === 'timescale' ? 'community' : 'apache',
    names: found.renamed ? 'columnstore' : 'compression',
    schema: found.schema,
    foreign: found.foreign,
  };
}

/** What the operator must do about functions that could be called instead of TimescaleDB's. */
export function foreignAdvice({ schema, foreign }: Timescale): string {
  return `the schema ${schema} has functions named like TimescaleDB's that are not the extension's: ${foreign.join(', ')}; drop or rename them, and let no other role create in that schema`;
}

/**
 * Reads the extension in order to call its functions.
 * @throws DependencyError if another function could be called instead of one of them
 */
export async function usableTimescale(client: pg.ClientBase): Promise<Timescale | null> {
  const timescale = await readTimescale(client);
  if (timescale === null || timescale.foreign.length === 0) return timescale;
  const message = `database: ${foreignAdvice(timescale)}`;
  throw new DependencyError('database', 'configuration', 'FOREIGN_FUNCTION', message);
}

/** @throws MigrationError for a version that may lose rows */
export function checkTimescaleVersion(version: string): void {
  if (!isOlder(version, oldestTimescaledb)) return;
  throw new MigrationError(
    'timescaledb_too_old',
    `TimescaleDB ${version} may lose rows that meet compressed chunks: install ${oldestTimescaledb} or newer, then ALTER EXTENSION timescaledb UPDATE`,
  );
}

function isOlder(version: string, than: string): boolean {
  const [left, right] = [numbersOf(version), numbersOf(than)];
  for (const [index, number] of right.entries()) {
    const other = left[index] ?? 0;
    if (other !== number) return other < number;
  }
  return false;
}

function numbersOf(version: string): number[] {
  return version
    .split(/[.-]/)
    .slice(0, 3)
    .map((part) => Number.parseInt(part, 10) || 0);
}

/** Whether `positions` is a hypertable. Requires the extension. */
export async function isHypertable(client: pg.ClientBase): Promise<boolean> {
  const { rowCount } = await client.query(`
    SELECT FROM timescaledb_information.hypertables
    WHERE hypertable_name = 'positions' AND hypertable_schema = 'public'`);
  return rowCount === 1;
}

/** Formats an interval for PostgreSQL, in whole days where possible. */
export function intervalText(ms: number): string {
  const days = ms / 86_400_000;
  return Number.isInteger(days) ? `${days} days` : `${ms} milliseconds`;
}
