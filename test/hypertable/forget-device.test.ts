import type { Client } from 'pg';
import { expect, test } from 'vitest';
import { countDevice, forgetDevice } from '../../src/db/forget-device.ts';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import {
  dayMs,
  deviceId,
  migratedDatabase,
  migrateOptions,
  migrations,
  position,
  silent,
} from '../db/positions.ts';
import { describeEachTable, describeHypertable, type Fresh } from '../setup/hypertable.ts';

const now = Date.now();
const never = new AbortController().signal;
const tables = {
  // So late that the policy's own job compresses nothing while a test does.
  columnstoreAfterMs: 3600 * dayMs,
  retentionMs: 3650 * dayMs,
  aggregates: true,
};

/** Two devices, ten days of rows each; on a hypertable most chunks are compressed. */
async function filled(fresh: Fresh, kind: 'plain table' | 'hypertable') {
  const made = await migratedDatabase(kind === 'hypertable' ? tables : {}, fresh);
  const writer = createPositionWriter(made.database, {
    chunkIntervalMs: dayMs,
    maxChunksPerStatement: 48,
  });
  const rows = Array.from({ length: 10 }, (_, age) => [
    position({ ts: now - age * dayMs }),
    position({ ts: now - age * dayMs, deviceId: deviceId(2) }),
  ]).flat();
  await writer.write(
    rows,
    rows.map(() => null),
  );
  if (kind === 'hypertable') {
    await made.client.query(
      "SELECT public.compress_chunk(c) FROM public.show_chunks('public.positions', older_than => INTERVAL '3 days') AS c",
    );
    for (const view of ['device_hours', 'device_days']) {
      await refresh(made.client, view);
    }
  }
  return { ...made, writer };
}

/** Retried while the policy's own job, which starts at once, refreshes the same view. */
async function refresh(client: Client, view: string): Promise<void> {
  for (;;) {
    try {
      await client.query(
        `CALL public.refresh_continuous_aggregate('positions.${view}', NULL, NULL)`,
      );
      return;
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes('concurrent refresh')) throw error;
      await client.query('SELECT pg_catalog.pg_sleep(0.2)');
    }
  }
}

/** Rows of any table of any schema whose text holds the device. */
async function tablesNaming(client: Client, device: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name
       FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')`,
  );
  const found: string[] = [];
  for (const { name } of rows) {
    const { rowCount } = await client.query(
      `SELECT FROM ONLY ${name} AS t WHERE t::text LIKE $1 LIMIT 1`,
      [`%${device}%`],
    );
    if (rowCount !== 0) found.push(name);
  }
  return found;
}

describeEachTable('forgetting a device', (fresh, kind) => {
  test('leaves nothing of it in any table, and another device whole', async () => {
    const { client } = await filled(fresh, kind);
    const other = await countDevice(client, deviceId(2));
    const before = await countDevice(client, deviceId(1));
    expect(before.rows).toBe(10);
    expect(before.derived).toBeGreaterThan(0);
    expect(await tablesNaming(client, deviceId(1))).not.toEqual([]);

    expect(await forgetDevice(client, deviceId(1), never)).toEqual(before);

    expect(await tablesNaming(client, deviceId(1))).toEqual([]);
    expect(await countDevice(client, deviceId(2))).toEqual(other);
    expect(await forgetDevice(client, deviceId(1), never)).toEqual({ rows: 0, derived: 0 });
  });

  test('deletes what the domain keeps of the device, and of no other', async () => {
    const { client, url } = await filled(fresh, kind);
    const domain = { enabled: true, recomputeHorizonMs: 30 * dayMs };
    const policies = kind === 'hypertable' ? tables : {};
    await migrate(migrations, migrateOptions(url, { ...policies, domain }), silent);
    await client.query(
      `INSERT INTO positions.outbox_parked (device_id, from_ts, to_ts, attempts, error)
       SELECT device_id, from_ts, to_ts, 5, 'x' FROM positions.outbox`,
    );

    await forgetDevice(client, deviceId(1), never);

    for (const table of ['outbox', 'outbox_parked']) {
      const { rows } = await client.query(`SELECT DISTINCT device_id FROM positions.${table}`);
      expect(rows, table).toEqual([{ device_id: deviceId(2) }]);
    }
  });

  test('that was interrupted goes on with the next run', async () => {
    const { client } = await filled(fresh, kind);
    const interrupted = new AbortController();
    interrupted.abort();

    expect(await forgetDevice(client, deviceId(1), interrupted.signal)).toEqual({
      rows: 0,
      derived: 0,
    });
    expect((await forgetDevice(client, deviceId(1), never)).rows).toBe(10);
  });
});

describeHypertable('the job beside the retention policy', (fresh) => {
  const jobs = async (client: Client) =>
    (
      await client.query<{ id: number }>(
        "SELECT job_id AS id FROM timescaledb_information.jobs WHERE proc_name = 'forget_devices'",
      )
    ).rows.map(({ id }) => id);

  test('forgets devices without rows, and is there only with the policy', async () => {
    const { client, url } = await filled(fresh, 'hypertable');
    await client.query(
      `INSERT INTO positions.devices VALUES ('${deviceId(3)}', now() - INTERVAL '20 years'),
                                            ('${deviceId(4)}', now())`,
    );
    const [job] = await jobs(client);

    await client.query('CALL public.run_job($1)', [job]);

    const { rows } = await client.query('SELECT device_id FROM positions.devices ORDER BY 1');
    // One that is newer than retention may have a first row on its way.
    expect(rows.map(({ device_id }) => device_id)).toEqual([1, 2, 4].map(deviceId));
    await migrate(migrations, migrateOptions(url, tables), silent);
    expect(await jobs(client)).toEqual([job]);
    await migrate(migrations, migrateOptions(url, { ...tables, retentionMs: dayMs * 40 }), silent);
    expect(await jobs(client)).toHaveLength(1);
    expect(await jobs(client)).not.toEqual([job]);
    await migrate(migrations, migrateOptions(url, { ...tables, retentionMs: null }), silent);
    expect(await jobs(client)).toEqual([]);
  });
});
