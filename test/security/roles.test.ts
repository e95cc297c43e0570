import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { createHistory } from '../../src/db/migration-history.ts';
import { migrate } from '../../src/db/migrator.ts';
import { hasPooler, needsPooler, startPooler } from '../../tools/servers/pooler.ts';
import { migrateOptions, migrations, silent } from '../db/positions.ts';
import {
  ask,
  denied,
  hasPsql,
  needsPsql,
  outcomeOf,
  type RolesDatabase,
  roleNames,
  rolesDatabase,
  row,
} from './roles.ts';

describe.skipIf(!hasPsql())(
  'the roles of deploy/sql/roles.sql',
  { meta: { needs: needsPsql } },
  () => {
    let database: RolesDatabase;

    describe('made before the first start', () => {
      beforeAll(async () => {
        database = await rolesDatabase();
        await ask(database.url, 'CREATE TABLE public.of_directus (secret text)');
        await database.apply();
        await migrate(migrations, migrateOptions(database.urls.migrator), silent);
      });
      afterAll(() => database.drop());

      test('the migrator has migrated, and owns what it made', async () => {
        const owners = await ask(
          database.url,
          `SELECT DISTINCT relowner::regrole::text AS owner FROM pg_class
          WHERE relnamespace = 'positions'::regnamespace
             OR oid IN ('public.positions'::regclass, 'public.processor_migrations'::regclass)`,
        );

        expect(owners).toEqual([{ owner: database.roles.migrator }]);
      });

      test('the writer adds to one table, and reads that, the IO dictionary and the list of migrations', async () => {
        const rights = await ask(
          database.url,
          `SELECT c.oid::regclass::text AS name, array_to_string(ARRAY(
           SELECT word FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',
                                         'REFERENCES', 'TRIGGER']) AS word
            WHERE has_table_privilege('${database.roles.writer}', c.oid, word)), ' ') AS rights
           FROM pg_class AS c
          WHERE c.relnamespace IN ('public'::regnamespace, 'positions'::regnamespace)
            AND c.relkind IN ('r', 'p', 'v', 'm')
            AND has_any_column_privilege('${database.roles.writer}', c.oid,
                  'SELECT, INSERT, UPDATE, REFERENCES') ORDER BY 1`,
        );

        expect(rights).toEqual([
          { name: 'positions', rights: 'SELECT INSERT' },
          { name: 'positions.io_dictionary', rights: 'SELECT' },
          { name: 'positions.io_model', rights: 'SELECT' },
          { name: 'processor_migrations', rights: 'SELECT' },
        ]);
      });

      test.each([
        'UPDATE public.positions SET speed = 0',
        'DELETE FROM public.positions',
        'TRUNCATE public.positions',
        'DROP TABLE public.positions',
        'ALTER TABLE public.positions ADD COLUMN more text',
        'ALTER TABLE public.positions DISABLE TRIGGER ALL',
        'CREATE INDEX ON public.positions (speed)',
        'CREATE TRIGGER t AFTER INSERT ON public.positions EXECUTE FUNCTION suppress_redundant_updates_trigger()',
        "INSERT INTO public.processor_migrations (version, name, checksum) VALUES (999, 'x', 'x')",
        'DELETE FROM public.processor_migrations',
        'SELECT FROM public.of_directus',
        'SELECT FROM positions.devices',
        'SELECT FROM positions.last_positions',
        "SELECT positions.track('350000000000001', now(), now())",
        'CREATE TABLE mine (x int)',
        'CREATE TEMPORARY TABLE mine (x int)',
        'CREATE SCHEMA mine',
        'CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql RETURN 1',
        'CREATE EXTENSION pg_trgm',
        'CREATE ROLE mine',
        "COPY public.positions TO '/tmp/positions'",
        "COPY public.positions FROM PROGRAM 'id'",
        "SELECT pg_read_file('/etc/passwd')",
        'SELECT FROM pg_authid',
        'SELECT lo_create(0)',
        "SELECT lo_from_bytea(0, 'x')",
      ])('the writer is refused: %s', async (statement) => {
        expect(await outcomeOf(database.urls.writer, statement)).toBe(denied);
      });

      test('the writer does not become another role', async () => {
        const become = `SET ROLE ${database.roles.migrator}`;

        expect(await outcomeOf(database.urls.writer, become)).toBe(denied);
        expect(await outcomeOf(database.urls.writer, 'SET ROLE postgres')).toBe(denied);
      });

      test('the reader reads positions, views and functions, and writes nothing', async () => {
        const { reader, writer } = database.urls;
        await ask(writer, row);

        const track = "positions.devices_in_window('2026-11-01', '2026-11-03')";
        expect(await ask(reader, 'SELECT device_id FROM public.positions')).toHaveLength(1);
        expect(await ask(reader, 'SELECT device_id FROM positions.last_positions')).toHaveLength(1);
        expect(await ask(reader, `SELECT device_id FROM ${track}`)).toHaveLength(1);
        const off = 'SET default_transaction_read_only = off';
        expect(await outcomeOf(reader, row)).not.toBe('done');
        for (const statement of [
          row,
          'UPDATE public.positions SET speed = 0',
          'DELETE FROM public.positions',
          'TRUNCATE public.positions',
          'DELETE FROM positions.devices',
          'CREATE TABLE mine (x int)',
          'SELECT FROM public.of_directus',
          'CREATE TEMPORARY TABLE mine (x int)',
        ]) {
          expect(await outcomeOf(reader, off, statement), statement).toBe(denied);
        }
      });

      test('what a later migration makes is covered', async () => {
        const { migrator, reader, writer } = database.urls;
        await ask(
          migrator,
          'CREATE TABLE positions.later (x int)',
          'CREATE VIEW positions.later_view AS SELECT * FROM positions.later',
          'CREATE FUNCTION positions.later_one() RETURNS int LANGUAGE sql RETURN 1',
        );

        for (const statement of [
          'SELECT FROM positions.later',
          'SELECT FROM positions.later_view',
          'SELECT positions.later_one()',
        ]) {
          expect(await outcomeOf(reader, statement), statement).toBe('done');
          expect(await outcomeOf(writer, statement), statement).toBe(denied);
        }
      });

      test("its list of migrations is the migrator's own, to the letter", async () => {
        const columns = `SELECT column_name, data_type, column_default, is_nullable
        FROM information_schema.columns WHERE table_name = 'processor_migrations' ORDER BY 1`;
        const other = await rolesDatabase();
        onTestFinished(() => other.drop());
        await ask(other.url, createHistory);

        expect(await ask(database.url, columns)).toEqual(await ask(other.url, columns));
      });

      test('timeouts hold for the role', async () => {
        expect(await timeouts(database.urls.writer)).toEqual(['10s', '5s', '30s']);
        expect(await timeouts(database.urls.reader)).toEqual(['1min', '5s', '1min']);
        expect(await timeouts(database.urls.domain)).toEqual(['1min', '5s', '1min']);
      });

      test.skipIf(!hasPooler())(
        'timeouts hold behind a transaction pooler, where no session is ours',
        { meta: { needs: needsPooler } },
        async () => {
          // PgBouncer's own file takes no quote in a password.
          const plain = new URL(database.urls.writer);
          plain.password = 'simple';
          await ask(database.url, `ALTER ROLE ${database.roles.writer} PASSWORD 'simple'`);
          onTestFinished(() => database.apply());
          const pooler = await startPooler(plain.href);
          onTestFinished(() => pooler.stop());

          expect(await timeouts(pooler.url)).toEqual(['10s', '5s', '30s']);
        },
      );

      test('a second run changes nothing', async () => {
        const state = `SELECT array_agg(relacl::text ORDER BY oid) AS acl,
        (SELECT array_agg(defaclacl::text ORDER BY oid) FROM pg_default_acl) AS defaults,
        (SELECT array_agg(setconfig::text ORDER BY setrole) FROM pg_db_role_setting
          WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())) AS settings
        FROM pg_class WHERE relnamespace = 'positions'::regnamespace`;
        const before = await ask(database.url, state);

        await database.apply();

        expect(await ask(database.url, state)).toEqual(before);
        expect(await outcomeOf(database.urls.writer, row)).toBe('done');
      });
    });

    describe('passwords', () => {
      beforeEach(async () => {
        database = await rolesDatabase();
        return () => database.drop();
      });
      const passwords = () =>
        ask<{ set: boolean }>(
          database.url,
          `SELECT rolpassword IS NOT NULL AS set FROM pg_authid
          WHERE rolname IN ('${roleNames.map((name) => database.roles[name]).join("', '")}')
          ORDER BY rolname`,
        ).then((rows) => rows.map(({ set }) => set));

      test('a role without a password file has none, and cannot log in with any', async () => {
        await database.apply({ passwordsOf: [] });
        expect(await passwords()).toEqual([false, false, false, false]);

        await database.apply({ passwordsOf: ['writer'] });
        expect(await passwords()).toEqual([false, false, false, true]);

        await database.apply({ passwordsOf: [] });
        expect(await passwords()).toEqual([false, false, false, true]);
      });

      test('a password file that is not there ends the script, and nothing is made', async () => {
        const env = { PROCESSOR_READER_PASSWORD_FILE: '/nowhere/password' };

        await expect(database.apply({ env })).rejects.toThrow('/nowhere/password is empty, or not');
        expect(await passwords()).toEqual([]);
      });
    });

    test('a role that can do more ends the script', async () => {
      const other = await rolesDatabase();
      onTestFinished(() => other.drop());
      await ask(other.url, `CREATE ROLE ${other.roles.writer} LOGIN CREATEDB`);
      await expect(other.apply()).rejects.toThrow('has an attribute beyond LOGIN');

      await ask(
        other.url,
        `ALTER ROLE ${other.roles.writer} NOCREATEDB`,
        `GRANT pg_read_all_data TO ${other.roles.writer}`,
      );
      await expect(other.apply()).rejects.toThrow('is a member of pg_read_all_data');
    });

    test('tables that another owner has already become the migrator’s', async () => {
      const other = await rolesDatabase();
      onTestFinished(() => other.drop());
      await migrate(migrations, migrateOptions(other.url), silent);
      await ask(other.url, row);

      await other.apply();

      const { applied } = await migrate(migrations, migrateOptions(other.urls.migrator), silent);
      expect(applied).toEqual([]);
      expect(await outcomeOf(other.urls.migrator, 'DELETE FROM public.positions')).toBe('done');
      expect(await outcomeOf(other.urls.writer, row)).toBe('done');
      expect(await outcomeOf(other.urls.writer, 'DELETE FROM public.positions')).toBe(denied);
      expect(await ask(other.urls.reader, 'SELECT FROM positions.last_positions')).toHaveLength(1);
    });
  },
);

async function timeouts(url: string): Promise<string[]> {
  const [found] = await ask<Record<string, string>>(
    url,
    `SELECT current_setting('statement_timeout') AS a, current_setting('lock_timeout') AS b,
            current_setting('idle_in_transaction_session_timeout') AS c`,
  );
  return Object.values(found ?? {});
}
