import type pg from 'pg';
import type { Config } from '../../config/load.ts';
import { type MigrationState, readHistory } from '../../db/migration-history.ts';
import type { Migration } from '../../db/migrator.ts';
import { describePolicies, policyDifferences } from '../../db/policies.ts';
import { oldestTimescaledb, readTimescale } from '../../db/timescale.ts';
import { type Check, failure, ok, unknown, warning } from './check.ts';

const oldestPostgres = 15;
const mostSkewMs = 2000;

/** What the service needs of the database. @throws what pg throws when it cannot be reached */
export async function checkDatabase(
  client: pg.ClientBase,
  config: Config,
  migrations: readonly Migration[],
): Promise<Check[]> {
  const checks = [await serverVersion(client), await clock(client)];
  const timescale = await readTimescale(client);
  checks.push(
    timescale === null
      ? extensionMissing(config)
      : ok('timescaledb', `${timescale.version}, ${timescale.edition} edition`),
  );
  const tables = await client.query<{ there: boolean }>(
    `SELECT to_regclass('positions') IS NOT NULL AS there`,
  );
  if (tables.rows[0]?.there !== true) {
    checks.push(
      warning('schema', 'positions is not there: processor migrate up, or start the service'),
    );
    return checks;
  }
  checks.push(
    await rights(client),
    await schema(client, migrations),
    await policies(client, config),
  );
  return checks;
}

async function serverVersion(client: pg.ClientBase): Promise<Check> {
  const { rows } = await client.query<{ number: string; text: string }>(
    `SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS text`,
  );
  const text = rows[0]?.text ?? 'unknown';
  return Number(rows[0]?.number ?? 0) >= oldestPostgres * 10_000
    ? ok('postgresql version', text)
    : failure('postgresql version', `${text}: install ${oldestPostgres} or newer`);
}

async function clock(client: pg.ClientBase): Promise<Check> {
  const { rows } = await client.query<{ ms: number }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms',
  );
  const skewMs = Math.round((rows[0]?.ms ?? 0) - Date.now());
  const text = `${skewMs} ms ahead of this machine`;
  return Math.abs(skewMs) > mostSkewMs
    ? warning('postgresql clock', `${text}: set the clocks`)
    : ok('postgresql clock', text);
}

function extensionMissing({ database }: Config): Check {
  return database.timescaledb === 'required'
    ? failure(
        'timescaledb',
        `not installed here: ${oldestTimescaledb} or newer, or TIMESCALEDB=optional`,
      )
    : warning('timescaledb', 'not installed here: positions is a plain table');
}

async function rights(client: pg.ClientBase): Promise<Check> {
  const { rows } = await client.query<{ select: boolean; insert: boolean; super: boolean }>(`
    SELECT has_table_privilege('positions', 'SELECT') AS select,
           has_table_privilege('positions', 'INSERT') AS insert,
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super`);
  const [found] = rows;
  if (found === undefined) return unknown('rights', 'the server does not tell');
  if (!found.select || !found.insert) {
    return failure('rights', 'the role needs SELECT and INSERT on positions: deploy/sql/roles.sql');
  }
  return found.super
    ? warning('rights', 'the role is a superuser; the service needs SELECT and INSERT only')
    : ok('rights', 'SELECT and INSERT on positions');
}

async function schema(client: pg.ClientBase, migrations: readonly Migration[]): Promise<Check> {
  const history = await readHistory(client, migrations);
  const wrong = history.filter(({ state }) => state === 'changed' || state === 'unknown');
  const pending = history.filter(({ state }) => state === 'pending');
  if (wrong.length > 0) return failure('schema', `${names(wrong)}: see processor migrate status`);
  if (pending.length > 0) return warning('schema', `pending: ${names(pending)}`);
  return ok('schema', `up to date, ${history.length} migrations`);
}

function names(states: readonly MigrationState[]): string {
  return states
    .map((one) => ('migration' in one ? `${one.migration.name} (${one.state})` : one.state))
    .join(', ');
}

async function policies(client: pg.ClientBase, { database }: Config): Promise<Check> {
  const inForce = await describePolicies(client);
  const { segmentBy, orderBy, edition, ...shown } = inForce;
  const text = Object.entries(shown).map(([name, value]) => `${name} ${value ?? 'off'}`);
  const found = [`edition ${edition ?? 'none'}`, ...text].join(', ');
  const different = policyDifferences(inForce, database);
  if (different.length === 0) return ok('policies', found);
  return warning(
    'policies',
    `${found}; not as configured: ${different.join(', ')}; processor migrate up`,
  );
}
