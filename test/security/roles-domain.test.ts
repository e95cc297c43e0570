import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { readContract } from '../../tools/domain-fixture.ts';
import { dayMs, migrateOptions, migrations, silent } from '../db/positions.ts';
import {
  ask,
  denied,
  hasPsql,
  needsPsql,
  outcomeOf,
  type RolesDatabase,
  rolesDatabase,
  row,
} from './roles.ts';

const domain = { enabled: true, recomputeHorizonMs: 30 * dayMs };

const key = '11111111-1111-4111-8111-111111111111';
const device = '22222222-2222-4222-8222-222222222222';
const geofence = '33333333-3333-4333-8333-333333333333';

/** A timing record, or its revival. */
const record = `INSERT INTO public.timing_records AS stored (id, device, geofence, direction, at, before_ts,
    after_ts, method, source, date_created)
  VALUES ('${key}', '${device}', '${geofence}', 'enter', now(), now(), now(), 'interpolated',
          'processor', now())
  ON CONFLICT (id) DO UPDATE SET superseded_at = NULL WHERE stored.superseded_at IS NOT NULL`;

const ownTables = ['outbox_parked', 'domain_seen', 'domain_version', 'domain_pause'];

const allowed = [
  'SELECT FROM public.positions',
  'SELECT FROM positions.devices',
  "INSERT INTO positions.outbox (device_id, from_ts, to_ts) VALUES ('1', now(), 'infinity')",
  'SELECT id FROM positions.outbox ORDER BY id FOR UPDATE SKIP LOCKED',
  'DELETE FROM positions.outbox',
  "INSERT INTO positions.outbox_parked VALUES ('1', now(), now(), 5, 'x')",
  "INSERT INTO positions.domain_seen (kind, key, hash) VALUES ('geofence', 'a', '\\x00')",
  'UPDATE positions.domain_version SET version = version + 1',
  "INSERT INTO positions.domain_pause (by_whom, reason) VALUES ('a', 'b')",
  ...ownTables.map((table) => `DELETE FROM positions.${table} WHERE false`),
  'SELECT FROM processor_contract.geofences_v1',
  'SELECT FROM processor_contract.devices_v1',
  'SELECT FROM processor_contract.ignored_v1',
  'SELECT FROM public.timing_records',
  record,
  `UPDATE public.timing_records SET superseded_at = now() WHERE source = 'processor'`,
  record,
  'SELECT pg_try_advisory_xact_lock(1, 2)',
];

const refused = [
  // Facts of others.
  row,
  'UPDATE public.positions SET speed = 0',
  'DELETE FROM public.positions',
  'TRUNCATE public.positions',
  'SELECT FROM public.positions FOR UPDATE',
  'DELETE FROM positions.devices',
  'UPDATE positions.devices SET newest_day = now()',
  // Its own bookkeeping, beyond what a worker does.
  'UPDATE positions.outbox SET from_ts = now()',
  'UPDATE positions.outbox SET device_id = device_id',
  'TRUNCATE positions.outbox',
  'DROP TABLE positions.outbox',
  ...ownTables.map((table) => `TRUNCATE positions.${table}`),
  // Records that are stored.
  'DELETE FROM public.timing_records',
  'TRUNCATE public.timing_records',
  'UPDATE public.timing_records SET at = now()',
  "UPDATE public.timing_records SET source = 'manual'",
  'UPDATE public.timing_records SET device = NULL, superseded_at = now()',
  'ALTER TABLE public.timing_records ADD COLUMN more text',
  'CREATE TRIGGER t AFTER INSERT ON public.timing_records EXECUTE FUNCTION suppress_redundant_updates_trigger()',
  'CREATE INDEX ON public.timing_records (at)',
  'DROP TABLE public.timing_records',
  // What the views are made of, and the views themselves.
  'SELECT FROM public.devices',
  'SELECT FROM public.geofences',
  'SELECT FROM public.ignored_ranges',
  'UPDATE processor_contract.geofences_v1 SET valid_from = NULL',
  'DELETE FROM processor_contract.geofences_v1',
  'DROP VIEW processor_contract.geofences_v1',
  'CREATE TABLE processor_contract.mine (x int)',
  'SELECT FROM public.of_directus',
  // The trigger and the migrations.
  'DROP TRIGGER note_outbox ON public.positions',
  'ALTER TABLE public.positions DISABLE TRIGGER ALL',
  'CREATE OR REPLACE FUNCTION positions.note_outbox() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$',
  'SELECT FROM public.processor_migrations',
  'DELETE FROM public.processor_migrations',
  "SELECT positions.track('350000000000001', now(), now())",
  // The database and the server.
  'CREATE TABLE public.mine (x int)',
  'CREATE TABLE positions.mine (x int)',
  'CREATE TEMPORARY TABLE mine (x int)',
  'CREATE SCHEMA mine',
  'CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql RETURN 1',
  'CREATE EXTENSION pg_trgm',
  'CREATE ROLE mine',
  'SET ROLE postgres',
  "COPY public.timing_records TO '/tmp/records'",
  "COPY public.timing_records FROM PROGRAM 'id'",
  "SELECT pg_read_file('/etc/passwd')",
  'SELECT lo_create(0)',
];

/** The collections and the contract, made by a role of Directus as an owner would. */
async function makeDirectus(database: RolesDatabase, kind: 'fleet' | 'race'): Promise<string> {
  const owner = `processor_test_directus_${randomBytes(6).toString('hex')}`;
  await ask(
    database.url,
    `CREATE ROLE ${owner}`,
    `GRANT CREATE, USAGE ON SCHEMA public TO ${owner}`,
    `CREATE SCHEMA processor_contract AUTHORIZATION ${owner}`,
  );
  const collections = new URL(`../../tools/domain/directus-${kind}.sql`, import.meta.url);
  await ask(
    database.url,
    `SET ROLE ${owner}`,
    await readFile(collections, 'utf8'),
    'CREATE TABLE public.of_directus (secret text)',
    await readContract(kind, { domainRole: database.roles.domain }),
    `INSERT INTO public.devices (id, imei) VALUES ('${device}', '350000000000001')`,
    `INSERT INTO public.geofences (id) VALUES ('${geofence}')`,
  );
  return owner;
}

const rightsInPositions = (role: string) => `
  SELECT c.relname AS name, c.relacl::text AS rights,
         (SELECT array_agg(a.attname || ' ' || a.attacl::text) FROM pg_attribute AS a
           WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) AS columns
    FROM pg_class AS c WHERE c.relnamespace = 'positions'::regnamespace AND c.relkind = 'r'
     AND has_any_column_privilege('${role}', c.oid, 'SELECT') ORDER BY 1`;

describe.skipIf(!hasPsql())('the role processor_domain', { meta: { needs: needsPsql } }, () => {
  describe.each(['fleet', 'race'] as const)('with the contract of a %s', (kind) => {
    let database: RolesDatabase;
    let owner = '';

    beforeAll(async () => {
      database = await rolesDatabase();
      await database.apply();
      owner = await makeDirectus(database, kind);
      await migrate(migrations, migrateOptions(database.urls.migrator, { domain }), silent);
    });
    afterAll(async () => {
      const server = new URL(database.url);
      server.pathname = '/postgres';
      await database.drop();
      await ask(server.href, `DROP ROLE ${owner}`);
    });

    test('derives timing records', async () => {
      for (const statement of allowed) {
        expect(await outcomeOf(database.urls.domain, statement), statement).toBe('done');
      }
      const stored = await ask(database.url, 'SELECT id, superseded_at FROM public.timing_records');
      expect(stored).toEqual([{ id: key, superseded_at: null }]);
    });

    test.each(refused)('is refused: %s', async (statement) => {
      expect(await outcomeOf(database.urls.domain, statement)).toBe(denied);
    });

    test('is not what the writer needs: its rows reach the outbox by the trigger', async () => {
      await ask(database.urls.domain, 'DELETE FROM positions.outbox');
      await ask(database.urls.writer, row);

      expect(await ask(database.urls.domain, 'SELECT device_id FROM positions.outbox')).toEqual([
        { device_id: '350000000000001' },
      ]);
      for (const statement of [
        'SELECT FROM positions.outbox',
        'DELETE FROM positions.outbox',
        'SELECT FROM public.timing_records',
        record,
      ]) {
        expect(await outcomeOf(database.urls.writer, statement), statement).toBe(denied);
      }
    });

    test('has the same rights where the tables were there before the roles', async () => {
      const other = await rolesDatabase();
      onTestFinished(() => other.drop());
      await migrate(migrations, migrateOptions(other.url, { domain }), silent);
      await other.apply();
      const rights = async ({ url, roles }: RolesDatabase) => {
        const text = JSON.stringify(await ask(url, rightsInPositions(roles.domain)));
        const mark = roles.domain.replace('processor_test_domain_', '');
        return text.replaceAll(mark, '').split(/[{},]/).sort();
      };

      expect(await rights(other)).toEqual(await rights(database));
      await database.apply();
      expect(await rights(other)).toEqual(await rights(database));
    });
  });
});
