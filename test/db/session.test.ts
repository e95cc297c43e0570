import { PassThrough } from 'node:stream';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runMigrateStatus } from '../../src/cli/migrate.ts';
import { runRetention } from '../../src/cli/retention.ts';
import { migrate, withClient } from '../../src/db/migrator.ts';
import { openDatabase } from '../../src/db/pool.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { createRehydrate } from '../../src/db/rehydration.ts';
import { hasPooler, needsPooler, startPooler } from '../../tools/servers/pooler.ts';
import { type FreshDatabase, freshDatabase, hasTimescaledb, redisUrl } from '../setup/database.ts';
import { dayMs, deviceId, migrateOptions, migrations, position, silent } from './positions.ts';

/** What a role or a database may set, and what the service needs; each breaks something. */
const settings = {
  search_path: ['public', 'pg_catalog, pg_temp'],
  datestyle: ['German, DMY', 'ISO, MDY'],
  timezone: ['Asia/Kathmandu', 'UTC'],
  intervalstyle: ['sql_standard', 'postgres'],
  standard_conforming_strings: ['off', 'on'],
  bytea_output: ['escape', 'hex'],
  extra_float_digits: ['-10', '1'],
  row_security: ['off', 'on'],
  default_transaction_isolation: ['serializable', 'read committed'],
  default_transaction_deferrable: ['on', 'off'],
  synchronous_commit: ['off', 'on'],
  statement_timeout: ['300ms', '10s'],
  lock_timeout: ['1ms', '5s'],
  idle_in_transaction_session_timeout: ['1ms', '1min'],
  idle_session_timeout: ['2s', '0'],
  client_encoding: ['LATIN1', 'UTF8'],
} as const;

let database: FreshDatabase;
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(() => database.drop());

async function admin(...statements: string[]): Promise<void> {
  const client = new pg.Client(database.url);
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

/** As a database administrator would do it for another application. */
async function setAll(values: Readonly<Record<string, string>>): Promise<void> {
  const name = new URL(database.url).pathname.slice(1);
  await admin(
    ...Object.entries(values).map(
      ([key, value]) => `ALTER DATABASE ${name} SET ${key} = '${value}'`,
    ),
  );
}

const foreign = Object.fromEntries(Object.entries(settings).map(([key, [value]]) => [key, value]));

function open(url = database.url) {
  return openDatabase(
    {
      url,
      tls: null,
      applicationName: 'processor:test',
      size: 2,
      connectTimeoutMs: 5000,
      statementTimeoutMs: 10_000,
      lockTimeoutMs: 5000,
      deadlineMs: 20_000,
    },
    silent,
  );
}

async function read(client: pg.ClientBase): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const key of Object.keys(settings)) {
    const { rows } = await client.query<{ value: string }>('SELECT current_setting($1) AS value', [
      key,
    ]);
    found[key] = rows[0]?.value;
  }
  return found;
}

const expected = Object.fromEntries(
  Object.entries(settings).map(([key, [, value]]) => [key, value]),
);

async function command(
  run: (io: Parameters<typeof runMigrateStatus>[0]) => Promise<number>,
  env: Readonly<Record<string, string>> = {},
) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const urls = { REDIS_URL: redisUrl(), POSTGRES_URL: database.url, TIMESCALEDB: 'optional' };
  const { signal } = new AbortController();
  const code = await run({
    env: { ...urls, ...env },
    stdin: new PassThrough(),
    stdout,
    stderr,
    signal,
  });
  return { code, text: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
}

describe('a session, whatever the role and the database set', () => {
  test('of the pool has the settings that the statements depend on', async () => {
    await setAll(foreign);
    const pool = open();

    expect(await pool.use(read)).toEqual(expected);
    await pool.close(1000);
  });

  test('of the migrator has them as well, and a statement timeout of its own', async () => {
    await setAll(foreign);
    const found = await withClient(migrateOptions(database.url), silent, read);

    expect(found).toEqual({ ...expected, statement_timeout: '1h', lock_timeout: '2s' });
  });

  test('that is read-only by default stays so: that is the administrator’s word', async () => {
    await setAll({ default_transaction_read_only: 'on' });
    const pool = open();
    const { rows } = await pool.use((client) =>
      client.query<{ value: string }>("SELECT current_setting('transaction_read_only') AS value"),
    );

    expect(rows[0]?.value).toBe('on');
    await pool.close(1000);
  });

  test('a commit that waits for a standby is not made weaker', async () => {
    await setAll({ synchronous_commit: 'remote_apply' });
    const pool = open();
    const { rows } = await pool.use((client) =>
      client.query<{ value: string }>("SELECT current_setting('synchronous_commit') AS value"),
    );

    expect(rows[0]?.value).toBe('remote_apply');
    await pool.close(1000);
  });
});

describe.each(['German, DMY', 'SQL, DMY', 'Postgres, DMY', 'SQL, MDY'])(
  'with DateStyle %s',
  (style) => {
    test('migrate, its status, retention, rehydration and device show do as with ISO', async () => {
      await setAll({ ...foreign, datestyle: style });
      const options = migrateOptions(database.url, {
        timescaledb: hasTimescaledb() ? 'required' : 'optional',
      });
      expect((await migrate(migrations, options, silent)).applied).toHaveLength(migrations.length);
      const pool = open();
      const writer = createPositionWriter(pool, {
        chunkIntervalMs: dayMs,
        maxChunksPerStatement: 9,
      });
      const old = position({ ts: Date.now() - 400 * dayMs });
      const fresh = position({ ts: Date.now() - 1000, latitude: 54.714612345678 });
      await writer.write([old, fresh], [null, null]);
      const range = { fromMs: Date.now() - dayMs, toMs: Date.now() };
      const states = await createRehydrate(pool)([deviceId(1)], range);
      await pool.close(1000);

      expect(states.get(deviceId(1))?.lastFix).toMatchObject({
        ts: fresh.ts,
        latitude: 54.714612345678,
      });
      const status = await command((io) => runMigrateStatus(io, { json: true }));
      expect(status.code).toBe(0);
      expect(JSON.parse(status.text).migrations[0].applied_at).toMatch(/^20\d\d-\d\d-\d\dT.*Z$/);
      const flags = { json: true, dryRun: false, yes: true };
      const dropped = await command((io) => runRetention(io, flags), {
        RETENTION: '30d',
        TS_MAX_PAST: '30d',
      });
      expect(dropped.code).toBe(0);
      expect(JSON.parse(dropped.text)).toMatchObject({ dropped: 1 });
      const cutoff = Date.parse(JSON.parse(dropped.text).cutoff);
      expect(Math.abs(cutoff - (Date.now() - 30 * dayMs))).toBeLessThan(dayMs);
    });
  },
);

describe('the statement timeout of a role', () => {
  test('shorter than a migration needs does not stop the migrator', async () => {
    await setAll({ statement_timeout: '300ms', lock_timeout: '1ms' });
    const [first, ...rest] = migrations;
    if (first === undefined) throw new Error('there is a first migration');
    const slow = { ...first, sql: `SELECT pg_sleep(1); ${first.sql}` };

    const { applied } = await migrate([slow, ...rest], migrateOptions(database.url), silent);

    expect(applied).toHaveLength(migrations.length);
  });

  test.skipIf(!hasPooler())(
    'does not stop it behind a transaction pooler either',
    { meta: { needs: needsPooler } },
    async () => {
      // The idle limits of a role end the pooler's own sessions, which is not ours to prevent.
      const { idle_session_timeout: _idle, ...others } = foreign;
      await setAll(others);
      const pooler = await startPooler(database.url);
      const [first, ...rest] = migrations;
      if (first === undefined) throw new Error('there is a first migration');
      const slow = { ...first, sql: `SELECT pg_sleep(1); ${first.sql}` };
      const run = () => migrate([slow, ...rest], migrateOptions(pooler.url), silent);

      const applied = (await Promise.all([run(), run(), run()])).flatMap((one) => one.applied);
      await pooler.stop();

      expect(applied).toHaveLength(migrations.length);
    },
  );
});
