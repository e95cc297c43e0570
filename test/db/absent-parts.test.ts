import type { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Outcomes, Position } from '../../src/core/types.ts';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { describeHypertable, type Fresh } from '../setup/hypertable.ts';
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
} from './positions.ts';
import { compressAll, goBack } from './stored-table.ts';

const absent = {
  latitude: null,
  longitude: null,
  altitude: null,
  angle: null,
  speed: null,
  satellites: null,
  fix: false,
  codec: '7',
} as const;
const zeros = { ...absent, altitude: 0, angle: 0, speed: 0, satellites: 0 } as const;
const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };
const partsStatement =
  'SELECT altitude, angle, speed, satellites, fix FROM public.positions ORDER BY device_id, ts';

async function write(url: string, rows: readonly Position[]): Promise<Outcomes> {
  const outcomes: Outcomes = rows.map(() => null);
  await createPositionWriter(openPool(url), options).write(rows, outcomes);
  return outcomes;
}

async function partsOf(client: Client): Promise<unknown[]> {
  return (await client.query(partsStatement)).rows;
}

describe('parts that a codec 7 record does not carry', () => {
  test('are stored as NULL', async () => {
    const { url, client } = await migratedDatabase();
    expect(await write(url, [position(absent)])).toEqual(['inserted']);
    expect(await partsOf(client)).toEqual([
      { altitude: null, angle: null, speed: null, satellites: null, fix: false },
    ]);
  });

  test('make a repeated record a duplicate, and one with zeros instead a conflict', async () => {
    const { url } = await migratedDatabase();
    await write(url, [position(absent)]);
    expect(await write(url, [position(absent)])).toEqual(['duplicate']);
    expect(await write(url, [position(zeros)])).toEqual(['conflict']);
  });

  test('never make a fix', async () => {
    const { client } = await migratedDatabase();
    const insert = `INSERT INTO public.positions (device_id, ts, latitude, longitude, priority, fix, codec, attributes)
      VALUES ('350000000000001', now(), 54.7, 25.3, 0, $1, '7', '{}')`;
    await expect(client.query(insert, [true])).rejects.toMatchObject({ code: '23514' });
  });
});

/** A table of version 4 with a record of codec 7 as that version stored it. */
async function version4(fresh: Fresh): Promise<{ url: string; client: Client }> {
  const { url, drop } = await fresh();
  onTestFinished(drop);
  // So late that the policy's own job compresses nothing while the test does.
  const columnstore = { columnstoreAfterMs: 3650 * dayMs };
  await migrate(migrations.slice(0, 4), migrateOptions(url, columnstore), silent);
  // Three chunks, because one alone is no test of TimescaleDB.
  const days = [0, 1, 2].flatMap((day) => [
    someTime + day * dayMs,
    someTime + day * dayMs + 60_000,
  ]);
  await write(url, [
    ...days.map((ts) => position({ ...zeros, ts })),
    ...days.map((ts) => position({ deviceId: deviceId(2), ts })),
  ]);
  return { url, client: await connect(url) };
}

describeHypertable('the migration of absent parts', (fresh) => {
  test('and its down migration work on several compressed chunks', async () => {
    const { url, client } = await version4(fresh);
    await compressAll(client);
    const before = await partsOf(client);
    await migrate(migrations.slice(0, 5), migrateOptions(url), silent);
    expect(await partsOf(client)).toEqual(before);

    expect(await write(url, [position({ ...absent, ts: someTime + 120_000 })])).toEqual([
      'inserted',
    ]);
    await compressAll(client);
    await goBack(client, { name: '0005_absent_parts.sql' });
    expect(await partsOf(client)).toEqual([...before.slice(0, 2), before[0], ...before.slice(2)]);
  });
});
