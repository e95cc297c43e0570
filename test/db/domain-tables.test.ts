import { readFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { describeEachTable, type Fresh } from '../setup/hypertable.ts';
import { connect, migrateOptions, migrations, silent } from './positions.ts';

const downMigration = new URL('../../migrations/back/0007_domain.sql', import.meta.url);

describeEachTable('the bookkeeping of the domain', (fresh: Fresh) => {
  async function migrated(version = migrations.length) {
    const { url, drop } = await fresh();
    onTestFinished(drop);
    await migrate(migrations.slice(0, version), migrateOptions(url), silent);
    return await connect(url);
  }

  test('has its tables, and version 0', async () => {
    const client = await migrated();
    const { rows } = await client.query<{ name: string; columns: string }>(
      `SELECT c.relname AS name, string_agg(a.attname, ' ' ORDER BY a.attnum) AS columns
         FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.oid = ANY (ARRAY['positions.outbox', 'positions.outbox_parked',
          'positions.domain_seen', 'positions.domain_version', 'positions.domain_pause']::regclass[])
        GROUP BY 1 ORDER BY 1`,
    );

    expect(Object.fromEntries(rows.map(({ name, columns }) => [name, columns]))).toEqual({
      domain_pause: 'singleton since by_whom reason',
      domain_seen: 'kind key hash from_ts to_ts imei scope',
      domain_version: 'singleton version',
      outbox: 'id device_id from_ts to_ts enqueued_at',
      outbox_parked: 'device_id from_ts to_ts attempts error parked_at',
    });
    const version = await client.query('SELECT version::int FROM positions.domain_version');
    expect(version.rows).toEqual([{ version: 0 }]);
  });

  test('has at most one version and one pause', async () => {
    const client = await migrated();
    await client.query("INSERT INTO positions.domain_pause (by_whom, reason) VALUES ('a', 'b')");

    for (const second of [
      'INSERT INTO positions.domain_version (version) VALUES (1)',
      'INSERT INTO positions.domain_version (singleton, version) VALUES (false, 1)',
      "INSERT INTO positions.domain_pause (by_whom, reason) VALUES ('c', 'd')",
    ]) {
      await expect(client.query(second), second).rejects.toMatchObject({
        code: expect.stringMatching(/^23(505|514)$/),
      });
    }
  });

  test('has no trigger unless DOMAIN=on creates one', async () => {
    const client = await migrated();
    const { rows } = await client.query(
      `SELECT tgname FROM pg_trigger
        WHERE tgrelid = 'public.positions'::regclass AND tgname LIKE 'note_%'`,
    );

    expect(rows).toEqual([{ tgname: 'note_devices' }]);
  });

  test('is removed by the down migration, with its trigger', async () => {
    const client = await migrated(7);
    await client.query(
      `CREATE TRIGGER note_outbox AFTER INSERT ON public.positions
         REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
         EXECUTE FUNCTION positions.note_outbox()`,
    );
    await client.query(await readFile(downMigration, 'utf8'));

    const { rows } = await client.query(
      `SELECT to_regclass('positions.outbox') AS outbox, to_regproc('positions.note_outbox') AS run,
              (SELECT count(*)::int FROM pg_trigger
                WHERE tgrelid = 'public.positions'::regclass AND tgname = 'note_outbox') AS triggers`,
    );
    expect(rows).toEqual([{ outbox: null, run: null, triggers: 0 }]);
  });
});
