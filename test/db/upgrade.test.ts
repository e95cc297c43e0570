import { readdir } from 'node:fs/promises';
import type { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { freshDatabase } from '../setup/database.ts';
import {
  connect,
  dayMs,
  deviceId,
  migrateOptions,
  migrations,
  openPool,
  position,
  silent,
  someTime,
} from './positions.ts';
import { fingerprint, goBack } from './stored-table.ts';

const folder = new URL('../../migrations/back/', import.meta.url);
const released = migrations.map(({ version }) => version);
const newest = released.length;
const writerOptions = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };

/** A database of an older version, with rows of several devices and days in it. */
async function populated(version: number): Promise<{ url: string; client: Client }> {
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  await migrate(migrations.slice(0, version), migrateOptions(url), silent);
  const rows = Array.from({ length: 500 }, (_, index) =>
    position({
      deviceId: deviceId(index % 7),
      ts: someTime + index * 3_600_000,
      speed: index % 200,
      ...(index % 50 === 0 ? { latitude: null, longitude: null, fix: false, satellites: 0 } : {}),
    }),
  );
  await createPositionWriter(openPool(url), writerOptions).write(
    rows,
    rows.map(() => null),
  );
  return { url, client: await connect(url) };
}

async function objects(client: Client): Promise<unknown> {
  const { rows } = await client.query(
    `SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n
         ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'positions') AND c.relkind IN ('r', 'v')
      UNION ALL
     SELECT n.nspname || '.' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n
         ON n.oid = p.pronamespace WHERE n.nspname = 'positions'
      UNION ALL
     SELECT 'trigger ' || tgname FROM pg_trigger
      WHERE tgrelid = to_regclass('public.positions') AND NOT tgisinternal AND tgname !~ '^ts_'
      ORDER BY 1`,
  );
  return rows;
}

describe('an upgrade on a populated table', () => {
  test.each(released)('from version %i keeps every row as it was', async (version) => {
    const { url, client } = await populated(version);
    const before = await fingerprint(client);

    const { applied } = await migrate(migrations, migrateOptions(url), silent);

    expect(applied).toEqual(migrations.slice(version).map(({ name }) => name));
    expect(before).toMatchObject({ rows: 500 });
    expect(await fingerprint(client)).toEqual(before);
  });

  test.each(released)('from version %i knows the devices that were there', async (version) => {
    const { url, client } = await populated(version);
    await migrate(migrations, migrateOptions(url), silent);

    const { rows } = await client.query(
      'SELECT device_id, last_ts FROM positions.last_positions ORDER BY device_id',
    );
    const { rows: expected } = await client.query(
      'SELECT device_id, max(ts) AS last_ts FROM public.positions GROUP BY 1 ORDER BY 1',
    );

    expect(expected).toHaveLength(7);
    expect(rows).toEqual(expected);
  });

  test('writers go on meanwhile, and nothing they write is missed', async () => {
    const { url, client } = await populated(1);
    const writer = createPositionWriter(openPool(url), writerOptions);
    let migrated = false;
    const outcomes = new Set<unknown>();
    const writing = (async () => {
      for (let batch = 0; !migrated; batch += 1) {
        const rows = Array.from({ length: 50 }, (_, index) =>
          position({
            deviceId: deviceId(100 + (batch % 30)),
            ts: someTime + batch * 60_000 + index,
          }),
        );
        const settled = rows.map(() => null);
        await writer.write(rows, settled);
        for (const outcome of settled) outcomes.add(outcome);
      }
    })();
    await migrate(migrations, migrateOptions(url), silent);
    migrated = true;
    await writing;

    expect([...outcomes]).toEqual(['inserted']);
    const { rows } = await client.query(
      `SELECT (SELECT count(DISTINCT device_id) FROM public.positions)::int AS there,
              (SELECT count(*) FROM positions.devices)::int AS known`,
    );
    expect(rows[0]?.known).toBe(rows[0]?.there);
  });

  test('a table in use is waited for, in short turns, and migrated when it is free', async () => {
    const { url } = await populated(1);
    const busy = await connect(url);
    await busy.query('BEGIN; LOCK TABLE public.positions IN ROW EXCLUSIVE MODE');
    const waits: object[] = [];
    const log = {
      ...silent,
      info(fields: object, msg: string) {
        if (msg !== 'waiting for a lock to migrate') return;
        waits.push(fields);
        if (waits.length === 2) void busy.query('COMMIT');
      },
    };

    const { applied } = await migrate(migrations, migrateOptions(url, { lockTimeoutMs: 100 }), log);

    expect(applied).toEqual(migrations.slice(1).map(({ name }) => name));
    expect(waits[0]).toMatchObject({ lock: 'table' });
  });

  test('a table that stays in use is given up with advice, and left as it was', async () => {
    const { url, client } = await populated(1);
    const before = await objects(client);
    const busy = await connect(url);
    await busy.query('BEGIN; LOCK TABLE public.positions IN ROW EXCLUSIVE MODE');

    const options = migrateOptions(url, { lockTimeoutMs: 50, migrationLockTimeoutMs: 300 });
    await expect(migrate(migrations, options, silent)).rejects.toMatchObject({
      code: 'lock_timeout',
      message: expect.stringContaining('pg_stat_activity'),
    });
    expect(await objects(client)).toEqual(before);
  });
});

describe('the down migrations', () => {
  test('is written for every migration, and for nothing else', async () => {
    const files = await readdir(folder);
    const names = migrations.map(({ name }) => name);

    expect(files.filter((file) => names.includes(file)).toSorted()).toEqual(names);
  });

  test('step by step to version 1 harms no row, and up again does not either', async () => {
    const { url, client } = await populated(1);
    const before = await fingerprint(client);
    const first = await objects(client);
    await migrate(migrations, migrateOptions(url), silent);
    const last = await objects(client);

    for (const migration of migrations.slice(1).toReversed()) {
      await goBack(client, migration);
      expect(await fingerprint(client)).toEqual(before);
    }
    expect(await objects(client)).toEqual(first);

    await migrate(migrations, migrateOptions(url), silent);
    expect(await objects(client)).toEqual(last);
    expect(await fingerprint(client)).toEqual(before);
  });

  test('after a step back the version before it accepts the database', async () => {
    for (const version of released.slice(1)) {
      const { url, client } = await populated(version);
      const migration = migrations[version - 1];
      if (migration === undefined) throw new Error(`no migration ${version}`);
      await goBack(client, migration);

      const older = migrations.slice(0, version - 1);
      const { applied } = await migrate(older, migrateOptions(url, { mode: 'verify' }), silent);
      expect(applied).toEqual([]);
    }
  });

  test('out of order is refused', async () => {
    const { client } = await populated(newest);
    const [, second] = migrations;
    if (second === undefined || newest < 3) return;

    await expect(goBack(client, second)).rejects.toThrow('newest first');
  });

  test('to an empty schema are refused while rows exist', async () => {
    const { client } = await populated(1);
    const [first] = migrations;
    if (first === undefined) throw new Error('no migration');

    await expect(goBack(client, first)).rejects.toThrow('positions has rows');
    await client.query('ROLLBACK');
    expect(await fingerprint(client)).toMatchObject({ rows: 500 });
    await client.query('TRUNCATE public.positions');
    await goBack(client, first);
    expect(await objects(client)).toEqual([{ name: 'public.processor_migrations' }]);
  });
});
