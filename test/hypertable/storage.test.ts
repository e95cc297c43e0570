import { readFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { Outcomes } from '../../src/core/types.ts';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import {
  connect,
  dayMs,
  deviceId,
  migratedDatabase,
  migrateOptions,
  migrations,
  openPool,
  position,
  silent,
  someTime,
} from '../db/positions.ts';
import { testLimitMs, times } from '../faults/mode.ts';
import { hasTimescaledb } from '../setup/database.ts';
import { describeHypertable } from '../setup/hypertable.ts';

describeHypertable('the migrated table', (fresh) => {
  async function emptyDatabase(): Promise<string> {
    const { url, drop } = await fresh();
    onTestFinished(drop);
    return url;
  }

  async function chunkSeconds(url: string): Promise<unknown[]> {
    const client = await connect(url);
    const { rows } = await client.query<{ seconds: number }>(
      `SELECT extract(epoch FROM time_interval)::int AS seconds
         FROM timescaledb_information.dimensions WHERE hypertable_name = 'positions'`,
    );
    return rows.map(({ seconds }) => seconds);
  }

  test('positions becomes a hypertable with the chunk interval asked for', async () => {
    const url = await emptyDatabase();

    const { storage } = await migrate(
      migrations,
      migrateOptions(url, { timescaledb: 'required', chunkIntervalMs: 6 * 3_600_000 }),
      silent,
    );

    expect(storage).toMatchObject({ kind: 'hypertable', chunkIntervalMs: 21_600_000 });
    expect(await chunkSeconds(url)).toEqual([21_600]);
  });

  test('has no index but the primary key', async () => {
    const url = await emptyDatabase();
    await migrate(migrations, migrateOptions(url), silent);
    const client = await connect(url);

    const { rows } = await client.query(
      `SELECT indexname AS name FROM pg_indexes WHERE tablename = 'positions'`,
    );

    expect(rows).toEqual([{ name: 'positions_pkey' }]);
  });

  test('a changed chunk interval is taken over', async () => {
    const url = await emptyDatabase();
    await migrate(migrations, migrateOptions(url), silent);

    await migrate(migrations, migrateOptions(url, { chunkIntervalMs: 7 * dayMs }), silent);

    expect(await chunkSeconds(url)).toEqual([7 * 86_400]);
  });

  test('a plain table with rows is not converted unasked', async () => {
    const url = await emptyDatabase();
    const client = await connect(url);
    for (const { sql } of migrations) await client.query(sql);
    const { deviceId, ts } = position();
    await client.query(
      `INSERT INTO public.positions (device_id, ts, altitude, angle, speed, satellites, priority, fix,
                              codec, attributes)
       VALUES ($1, $2, 0, 0, 0, 0, 0, false, '8', '{}')`,
      [deviceId, new Date(ts)],
    );
    await client.query(`CREATE TABLE public.processor_migrations (version integer PRIMARY KEY,
      name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`);
    for (const { version, name, checksum } of migrations) {
      await client.query('INSERT INTO public.processor_migrations VALUES ($1, $2, $3)', [
        version,
        name,
        checksum,
      ]);
    }

    await expect(migrate(migrations, migrateOptions(url), silent)).rejects.toMatchObject({
      code: 'plain_table_has_rows',
      message: expect.stringContaining('migrate_data'),
    });
  });
});

describeHypertable('the chunks of a batch', (fresh) => {
  /** A record on each of so many days, the newest first. */
  async function writeDays(days: number, chunkIntervalMs: number) {
    const { database, client } = await migratedDatabase({ chunkIntervalMs }, fresh);
    const writer = createPositionWriter(database, { chunkIntervalMs, maxChunksPerStatement: 48 });
    const rows = Array.from({ length: days }, (_, index) =>
      position({ ts: someTime - index * dayMs, recordIndex: index }),
    );
    const outcomes: Outcomes = rows.map(() => null);
    const statements = await writer.write(rows, outcomes);
    expect(new Set(outcomes)).toEqual(new Set(['inserted']));
    return { client, statements };
  }

  test('have the interval asked for', async () => {
    const { client } = await writeDays(20, 2 * dayMs);

    const { rows: chunks } = await client.query(
      `SELECT DISTINCT extract(epoch FROM range_end - range_start)::int AS seconds
         FROM timescaledb_information.chunks WHERE hypertable_name = 'positions'`,
    );
    expect(chunks).toEqual([{ seconds: 2 * 86_400 }]);
  });

  test(
    'are at most 48 per statement, however many days its records cover',
    async () => {
      // Making 5,000 chunks takes minutes, and 500 on PGlite some 20 s.
      const days = hasTimescaledb() ? times(500, 5000) : 100;
      const { client, statements } = await writeDays(days, dayMs);

      const { rows } = await client.query<{ n: number }>(
        "SELECT count(*)::int AS n FROM public.show_chunks('public.positions')",
      );
      expect(rows).toEqual([{ n: days }]);
      expect(statements).toBe(Math.ceil(days / 48));
    },
    testLimitMs,
  );
});

const columnstore = { columnstoreAfterMs: 3650 * dayMs };

describeHypertable('migration 0008 on compressed chunks', (fresh) => {
  test('checks device ids as before, and its down migration too', async () => {
    const { url, drop } = await fresh();
    onTestFinished(drop);
    await migrate(migrations.slice(0, 7), migrateOptions(url, columnstore), silent);
    const database = openPool(url);
    const writer = createPositionWriter(database, {
      chunkIntervalMs: dayMs,
      maxChunksPerStatement: 48,
      mayBeCompressed: () => true,
    });
    const rows = [0, 1, 2].flatMap((day) =>
      [1, 2].map((device) =>
        position({ deviceId: deviceId(device), ts: someTime + day * dayMs, recordIndex: day }),
      ),
    );
    const write = async () => {
      const outcomes = rows.map(() => null);
      await writer.write(rows, outcomes);
      return new Set<unknown>(outcomes);
    };
    await write();
    const client = await connect(url);
    const chunks = await client.query<{ name: string }>(
      "SELECT c::text AS name FROM public.show_chunks('public.positions'::regclass) AS c ORDER BY 1 LIMIT 2",
    );
    for (const { name } of chunks.rows) {
      await client.query(`CALL public.convert_to_columnstore('${name}')`);
    }
    const insertBad = () =>
      client.query(
        `INSERT INTO public.positions SELECT '35000000000000a', ts + interval '1 s', latitude, longitude,
           altitude, angle, speed, satellites, priority, fix, event_io_id, generation_type, codec, attributes
           FROM public.positions LIMIT 1`,
      );

    await migrate(migrations.slice(0, 8), migrateOptions(url, columnstore), silent);
    expect(await write()).toEqual(new Set(['duplicate']));
    await expect(insertBad()).rejects.toMatchObject({ code: '23514' });

    const back = new URL('../../migrations/back/0008_device_id_checks.sql', import.meta.url);
    await client.query(await readFile(back, 'utf8'));
    expect(await write()).toEqual(new Set(['duplicate']));
    await expect(insertBad()).rejects.toMatchObject({ code: '23514' });
  });
});
