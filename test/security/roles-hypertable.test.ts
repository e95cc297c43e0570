import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { dayMs, migrateOptions, migrations, silent } from '../db/positions.ts';
import { describeTimescaledb } from '../setup/database.ts';
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

describe.skipIf(!hasPsql())(
  'the roles of deploy/sql/roles.sql',
  { meta: { needs: needsPsql } },
  () => {
    let database: RolesDatabase;
    let isCommunity = false;

    describeTimescaledb('on a hypertable', () => {
      const tables = {
        // So late that the policy's own job compresses nothing while a test does.
        columnstoreAfterMs: 3600 * dayMs,
        retentionMs: 3650 * dayMs,
        aggregates: true,
      };
      beforeAll(async () => {
        database = await rolesDatabase();
        await database.apply();
        await migrate(migrations, migrateOptions(database.urls.migrator, tables), silent);
        const [found] = await ask<{ license: string }>(
          database.url,
          "SELECT current_setting('timescaledb.license') AS license",
        );
        isCommunity = found?.license === 'timescale';
      });
      // The Apache edition has none of what is refused here.
      beforeEach(({ skip }) => {
        if (!isCommunity) skip('needs the Community edition');
      });
      afterAll(() => database.drop());

      test('the writer makes chunks, and adds to compressed ones', async () => {
        const { writer, migrator } = database.urls;
        await ask(writer, row, row.replace('2026-11-02', '2026-09-01'));
        await ask(
          migrator,
          "SELECT public.compress_chunk(c) FROM public.show_chunks('public.positions') AS c",
        );

        expect(await outcomeOf(writer, row)).toBe('done');
        expect(await outcomeOf(writer, row.replace('10:00', '11:00'))).toBe('done');
        expect(await ask(writer, 'SELECT FROM public.positions')).toHaveLength(3);
      });

      test('a chunk is no way around the table', async () => {
        const [chunk] = await ask<{ name: string }>(
          database.url,
          "SELECT public.show_chunks('public.positions')::text AS name LIMIT 1",
        );
        for (const words of ['DELETE FROM', 'TRUNCATE', 'DROP TABLE']) {
          const statement = `${words} ${chunk?.name}`;
          expect(await outcomeOf(database.urls.writer, statement), statement).toBe(denied);
          expect(await outcomeOf(database.urls.domain, statement), statement).toBe(denied);
        }
      });

      test.each([
        "SELECT public.drop_chunks('public.positions', older_than => now())",
        "SELECT public.compress_chunk(c) FROM public.show_chunks('public.positions') AS c",
        "SELECT public.decompress_chunk(c) FROM public.show_chunks('public.positions') AS c",
        "SELECT public.set_chunk_time_interval('public.positions', INTERVAL '1 hour')",
        "SELECT public.add_retention_policy('public.positions', INTERVAL '1 hour')",
        "SELECT public.remove_retention_policy('public.positions')",
        "CALL public.refresh_continuous_aggregate('positions.device_hours', NULL, NULL)",
        "SELECT public.add_job('pg_catalog.pg_sleep', '1 hour')",
        'SELECT public.alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs',
        'SELECT FROM positions.device_hours',
      ])('the writer and the domain are refused: %s', async (statement) => {
        expect(await outcomeOf(database.urls.writer, statement)).toBe(denied);
        expect(await outcomeOf(database.urls.domain, statement)).toBe(denied);
      });

      test('the reader reads the continuous aggregates', async () => {
        const { reader } = database.urls;

        expect(await outcomeOf(reader, 'SELECT FROM positions.device_hours')).toBe('done');
        expect(await outcomeOf(reader, 'SELECT FROM positions.device_days')).toBe('done');
        expect(
          await outcomeOf(reader, "SELECT public.drop_chunks('public.positions', now())"),
        ).not.toBe('done');
      });

      test('policies and aggregates of another owner become the migrator’s', async () => {
        const other = await rolesDatabase();
        onTestFinished(() => other.drop());
        await migrate(migrations, migrateOptions(other.url, tables), silent);
        await ask(other.url, row);

        await other.apply();

        const jobs = await ask(
          other.url,
          `SELECT DISTINCT owner::text FROM timescaledb_information.jobs
          WHERE proc_name ~ 'columnstore|compression|policy_retention|aggregate'`,
        );
        expect(jobs).toEqual([{ owner: other.roles.migrator }]);
        const refresh =
          "CALL public.refresh_continuous_aggregate('positions.device_hours', NULL, now())";
        expect(await outcomeOf(other.urls.migrator, refresh)).toBe('done');
        const changed = { ...tables, retentionMs: 3000 * dayMs, columnstoreAfterMs: 40 * dayMs };
        const { policies } = await migrate(
          migrations,
          migrateOptions(other.urls.migrator, changed),
          silent,
        );
        expect(policies).toMatchObject(changed);
        expect(await outcomeOf(other.urls.reader, 'SELECT FROM positions.device_hours')).toBe(
          'done',
        );
      });
    });
  },
);
