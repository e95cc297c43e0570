import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { type PgliteServer, startLimitMs, startPglite } from '../../../tools/servers/pglite.ts';

let server: PgliteServer;
let client: Client;

async function connect(url = server.url): Promise<Client> {
  const opened = new Client({ connectionString: url });
  await opened.connect();
  return opened;
}

beforeAll(async () => {
  server = await startPglite();
}, startLimitMs);
afterAll(() => server.stop());
beforeEach(async () => {
  client = await connect();
});
afterEach(async () => {
  await client.end();
  await server.empty();
});

async function another(url?: string): Promise<Client> {
  const opened = await connect(url);
  onTestFinished(() => opened.end());
  return opened;
}

const count = async (of: Client) => (await of.query('SELECT count(*)::int AS n FROM t')).rows[0];

test('it is PostgreSQL with the Community edition of TimescaleDB', async () => {
  const { rows } = await client.query(
    `SELECT extname, current_setting('timescaledb.license') AS license
       FROM pg_extension WHERE extname = 'timescaledb'`,
  );

  expect(rows).toEqual([{ extname: 'timescaledb', license: 'timescale' }]);
});

test.each([60_000, 70_000, 1_000_000])('messages of %i bytes pass both ways', async (bytes) => {
  const text = 'x'.repeat(bytes);

  expect((await client.query(`SELECT '${text}' AS text`)).rows).toEqual([{ text }]);
  expect((await client.query('SELECT $1::text AS text', [text])).rows).toEqual([{ text }]);
  expect((await client.query('SELECT $1::bytea AS text', [Buffer.from(text)])).rows).toEqual([
    { text: Buffer.from(text) },
  ]);
});

test('a statement that fails leaves the connection usable', async () => {
  await expect(client.query('SELECT $1::int / 0 AS n', [1])).rejects.toMatchObject({
    code: '22012',
  });

  expect((await client.query('SELECT $1::int AS n', [1])).rows).toEqual([{ n: 1 }]);
});

test('a transaction is not mixed with the statements of another connection', async () => {
  const other = await another();
  await client.query('CREATE TABLE t (n integer)');

  await client.query('BEGIN');
  await client.query('INSERT INTO t VALUES (1)');
  const counting = count(other);
  await client.query('INSERT INTO t VALUES (2)');
  expect(await count(client)).toEqual({ n: 2 });
  await client.query('ROLLBACK');

  expect(await counting).toEqual({ n: 0 });
});

test('a connection that ends in a transaction rolls it back and frees the others', async () => {
  const other = await connect();
  await other.query('CREATE TABLE t (n integer)');
  await other.query('BEGIN; INSERT INTO t VALUES (1)');
  await other.end();

  expect(await count(client)).toEqual({ n: 0 });
});

test('settings of a URL are set, and gone with the last connection', async () => {
  const url = new URL(server.url);
  url.searchParams.set('options', '-c lock_timeout=1234 -c timezone=Europe/Vilnius');
  const other = await connect(url.href);
  const settings = async (of: Client) =>
    (
      await of.query(
        "SELECT current_setting('lock_timeout') AS lock, current_setting('timezone') AS zone",
      )
    ).rows[0];
  expect(await settings(other)).toEqual({ lock: '1234ms', zone: 'Europe/Vilnius' });

  await other.end();
  await client.end();
  client = await connect();

  expect(await settings(client)).toMatchObject({ lock: '0' });
});

test('empty drops tables, functions, schemas and hypertables, and keeps the extension', async () => {
  await client.query(`
    CREATE SCHEMA s; CREATE TABLE s.t (); CREATE FUNCTION f() RETURNS integer RETURN 1;
    CREATE TABLE t (ts timestamptz NOT NULL); SELECT public.create_hypertable('t', public.by_range('ts'));
    INSERT INTO t VALUES (now()); SELECT public.add_retention_policy('t', INTERVAL '1 day')`);

  await server.empty();

  const { rows } = await client.query(`
    SELECT to_regclass('t') AS t, to_regclass('s.t') AS s, to_regproc('f') AS f,
           to_regproc('by_range') IS NOT NULL AS extension,
           (SELECT count(*)::int FROM timescaledb_information.hypertables) AS hypertables,
           (SELECT count(*)::int FROM timescaledb_information.jobs WHERE job_id >= 1000) AS jobs`);
  expect(rows).toEqual([{ t: null, s: null, f: null, extension: true, hypertables: 0, jobs: 0 }]);
});
