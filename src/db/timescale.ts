import type pg from 'pg';
import { MigrationError } from './migration-error.ts';

/** What the server's TimescaleDB is and may do. */
export interface Timescale {
  readonly version: string;
  /** The Apache edition has hypertables and drop_chunks; policies and the columnstore it refuses. */
  readonly edition: 'community' | 'apache';
  /** The functions' names: columnstore since 2.18, compression before it, and for a while after. */
  readonly names: 'columnstore' | 'compression';
}

/**
 * Before 2.18.1 ON CONFLICT DO NOTHING on compressed chunks stopped at the first conflict and
 * lost the rest of the statement (timescaledb#7672); 2.19.1 is the oldest we hold out for.
 */
export const oldestTimescaledb = '2.19.1';

/** Null where the extension is not installed in this database. */
export async function readTimescale(client: pg.ClientBase): Promise<Timescale | null> {
  const { rows } = await client.query<{ version: string; license: string; renamed: boolean }>(`
    SELECT extversion AS version,
           coalesce(current_setting('timescaledb.license', true), '') AS license,
           to_regproc('add_columnstore_policy') IS NOT NULL AS renamed
      FROM pg_extension WHERE extname = 'timescaledb'`);
  const [found] = rows;
  if (found === undefined) return null;
  return {
    version: found.version,
    edition: found.license === 'timescale' ? 'community' : 'apache',
    names: found.renamed ? 'columnstore' : 'compression',
  };
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
  for (const [place, number] of right.entries()) {
    const other = left[place] ?? 0;
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

/** Whether `positions` is a hypertable; only to be asked where the extension is installed. */
export async function isHypertable(client: pg.ClientBase): Promise<boolean> {
  const { rowCount } = await client.query(`
    SELECT FROM timescaledb_information.hypertables
    WHERE hypertable_name = 'positions' AND hypertable_schema = current_schema()`);
  return rowCount === 1;
}

/** An interval as PostgreSQL reads it, in days where they are whole. */
export function intervalText(ms: number): string {
  const days = ms / 86_400_000;
  return Number.isInteger(days) ? `${days} days` : `${ms} milliseconds`;
}
