import type pg from 'pg';
import type { Config } from '../../config/load.ts';
import { readWriteState, writeFault } from '../../db/ground.ts';
import { type MigrationState, readHistory } from '../../db/migration-history.ts';
import type { Migration } from '../../db/migrator.ts';
import { describePolicies, policyDifferences } from '../../db/policies.ts';
import { type Extension, preloadAdvice, readExtension } from '../../db/storage.ts';
import { foreignAdvice, oldestTimescaledb, readTimescale } from '../../db/timescale.ts';
import { durationText, plural } from '../format.ts';
import { type Check, failure, ok, unknown, warning } from './check.ts';
import { replicationChecks } from './replication.ts';
import { schemaCheck } from './schemas.ts';

const oldestPostgres = 15;
const maxSkewMs = 2000;

/** Checks what the service needs of the database. @throws the error of pg when it is unreachable */
export async function checkDatabase(
  client: pg.ClientBase,
  config: Config,
  migrations: readonly Migration[],
): Promise<Check[]> {
  const checks = [
    await serverVersion(client),
    await role(client),
    ...(await replicationChecks(client, config.database.url)),
    await clock(client),
  ];
  const extension = await readExtension(client);
  checks.push(await timescaledb(client, config, extension));
  // Without its library any use of a hypertable ends the session.
  if (extension.installed && !extension.loaded) return checks;
  checks.push(await schemaCheck(client));
  const tables = await client.query<{ there: boolean }>(
    `SELECT to_regclass('public.positions') IS NOT NULL AS there`,
  );
  if (tables.rows[0]?.there !== true) {
    checks.push(
      warning('schema', 'positions does not exist: run processor migrate up, or start the service'),
    );
    return checks;
  }
  checks.push(
    await rights(client),
    await primaryKey(client),
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
  const [found] = rows;
  if (found === undefined)
    return unknown('postgresql clock', 'the server does not answer the question');
  const skewMs = Math.round(found.ms - Date.now());
  const text = `${skewMs} ms ahead of this machine`;
  return Math.abs(skewMs) > maxSkewMs
    ? warning('postgresql clock', `${text}: set the clocks`)
    : ok('postgresql clock', text);
}

async function role(client: pg.ClientBase): Promise<Check> {
  const name = 'postgresql role';
  const fault = writeFault(await readWriteState(client));
  return fault === null ? ok(name, 'primary') : failure(name, fault.advice);
}

async function timescaledb(
  client: pg.ClientBase,
  { database }: Config,
  { offered, installed, loaded }: Extension,
): Promise<Check> {
  const name = 'timescaledb';
  const isRequired = database.timescaledb === 'required';
  if ((offered || installed) && !loaded) {
    return isRequired
      ? failure(name, preloadAdvice)
      : warning(name, `${preloadAdvice}; until then positions is a plain table`);
  }
  const found = await readTimescale(client);
  if (found !== null && found.foreign.length > 0) return failure(name, foreignAdvice(found));
  if (found !== null) return ok(name, `${found.version}, ${found.edition} edition`);
  return isRequired
    ? failure(name, `not installed here: ${oldestTimescaledb} or newer, or TIMESCALEDB=optional`)
    : warning(name, 'not installed here: positions is a plain table');
}

/** Checks the primary key, which ON CONFLICT needs for idempotent inserts. */
async function primaryKey(client: pg.ClientBase): Promise<Check> {
  const name = 'primary key';
  const { rows } = await client.query<{ columns: readonly string[] }>(`
    SELECT array_agg(a.attname::text ORDER BY a.attname) AS columns
      FROM pg_catalog.pg_index AS i
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
     WHERE i.indrelid = to_regclass('public.positions') AND i.indisunique AND i.indisvalid
       AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
     GROUP BY i.indexrelid`);
  const isThere = rows.some(({ columns }) => columns.join() === 'device_id,ts');
  if (isThere) return ok(name, 'device_id, ts');
  const remedy =
    'ALTER TABLE public.positions ADD PRIMARY KEY (device_id, ts), once no key occurs twice';
  return failure(name, `positions has no primary key on device_id and ts: ${remedy}`);
}

async function rights(client: pg.ClientBase): Promise<Check> {
  const { rows } = await client.query<{ select: boolean; insert: boolean; super: boolean }>(`
    SELECT has_table_privilege('public.positions', 'SELECT') AS select,
           has_table_privilege('public.positions', 'INSERT') AS insert,
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super`);
  const [found] = rows;
  if (found === undefined) return unknown('rights', 'the server does not answer the question');
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
  const effective = await describePolicies(client);
  const found = policiesText(effective);
  const different = policyDifferences(effective, database);
  if (different.length === 0) return ok('policies', found);
  return warning(
    'policies',
    `${found}; not as configured: ${different.join(', ')}; processor migrate up`,
  );
}

/** Lists the policies by the names of the variables that set them. */
function policiesText(effective: Awaited<ReturnType<typeof describePolicies>>): string {
  const { edition, columnstoreAfterMs, retentionMs, aggregates, compressedChunks } = effective;
  const after = (ms: number | null) => (ms === null ? 'off' : durationText(ms));
  return [
    `edition ${edition ?? 'none'}`,
    `COLUMNSTORE_AFTER ${after(columnstoreAfterMs)}`,
    `RETENTION ${after(retentionMs)}`,
    `AGGREGATES ${aggregates ? 'on' : 'off'}`,
    plural(compressedChunks, 'compressed chunk', 'compressed chunks'),
  ].join(', ');
}
