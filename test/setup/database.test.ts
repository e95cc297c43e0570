import { Client } from 'pg';
import { expect, inject, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { askPostgres, askRedis } from '../../tools/servers/ask.ts';
import { migrateOptions, migrations, silent } from '../db/migrate-options.ts';
import {
  databaseUrl,
  describeTimescaledb,
  freshDatabase,
  freshMigrated,
  freshStream,
  hasTimescaledb,
  redisUrl,
  testTimescaledb,
} from './database.ts';

test("the suite's servers answer", async () => {
  expect(await askRedis(redisUrl())).toMatchObject({ version: expect.stringMatching(/^\d+\./) });
  expect(await askPostgres(databaseUrl(), 'SELECT 1 AS one')).toEqual({ one: 1 });
});

test('fresh databases are empty, separate and UTF8', async () => {
  const [first, second] = await Promise.all([freshDatabase(), freshDatabase()]);
  onTestFinished(first.drop);
  onTestFinished(second.drop);
  await askPostgres(first.url, 'CREATE TABLE public.positions ()');

  const row = await askPostgres(
    second.url,
    `SELECT to_regclass('positions') AS positions, current_setting('server_encoding') AS encoding,
            (SELECT count(*)::int FROM pg_extension WHERE extname <> 'plpgsql') AS extensions`,
  );

  expect(row).toEqual({ positions: null, encoding: 'UTF8', extensions: 0 });
});

test('drop removes a database that is in use, and is safe twice', async () => {
  const { url, drop } = await freshDatabase();
  const client = new Client({ connectionString: url });
  const lost = new Promise<Error>((resolve) => client.on('error', resolve));
  await client.connect();

  await drop();
  await drop();

  expect(await lost).toMatchObject({ code: '57P01' });
  await expect(askPostgres(url, 'SELECT 1')).rejects.toMatchObject({ code: '3D000' });
});

test('fresh streams have names of their own', () => {
  const streams = Array.from({ length: 100 }, freshStream);

  expect(new Set(streams.map(({ key }) => key)).size).toBe(100);
  expect(new Set(streams.map(({ group }) => group)).size).toBe(100);
});

test('the version of TimescaleDB is known exactly where the server offers it', () => {
  expect(inject('timescaledbVersion') !== null).toBe(hasTimescaledb());
});

describeTimescaledb('a server that offers TimescaleDB', () => {
  test('has the extension loaded and reports nothing home', async () => {
    const { url, drop } = await freshDatabase();
    onTestFinished(drop);
    await askPostgres(url, 'CREATE EXTENSION timescaledb');

    const row = await askPostgres(
      url,
      `SELECT extversion AS version, current_setting('timescaledb.telemetry_level') AS telemetry
         FROM pg_extension WHERE extname = 'timescaledb'`,
    );

    expect(row).toEqual({ version: inject('timescaledbVersion'), telemetry: 'off' });
  });
});

testTimescaledb('a hypertable can be made in a fresh database', async () => {
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  await askPostgres(url, 'CREATE EXTENSION timescaledb');
  await askPostgres(url, 'CREATE TABLE p (ts timestamptz NOT NULL)');
  await askPostgres(url, `SELECT public.create_hypertable('p', 'ts')`);

  const row = await askPostgres(
    url,
    'SELECT hypertable_name AS name FROM timescaledb_information.hypertables',
  );

  expect(row).toEqual({ name: 'p' });
});

test('a migrated database is as a migration from nothing makes it', async () => {
  const [copy, own] = await Promise.all([freshMigrated(), freshDatabase()]);
  onTestFinished(copy.drop);
  onTestFinished(own.drop);
  await migrate(migrations, migrateOptions(own.url), silent);

  const shape = `
    SELECT array_agg(line ORDER BY line) AS lines FROM (
      SELECT format('%s %s', oid::regclass, relkind) AS line FROM pg_class
       WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace
      UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE oid >= 16384
      UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
       WHERE oid >= 16384) AS made`;
  const made = await askPostgres(own.url, shape);
  expect(made).toMatchObject({ lines: expect.arrayContaining(['positions r']) });
  expect(await askPostgres(copy.url, shape)).toEqual(made);
});
