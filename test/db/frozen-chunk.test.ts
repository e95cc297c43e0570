import { expect, test } from 'vitest';
import type { Outcomes } from '../../src/core/types.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { describeTimescaledb } from '../setup/database.ts';
import { dayMs, deviceId, migratedDatabase, position } from './positions.ts';
import { countRows, rowsFrom } from './refusing.ts';

const now = Date.now();
const old = now - 40 * dayMs;

/** A hypertable whose chunk of 40 days ago is frozen, as tiering does first; with one row in it. */
async function frozenDatabase() {
  const { database, client } = await migratedDatabase();
  const writer = createPositionWriter(database, {
    chunkIntervalMs: dayMs,
    maxChunksPerStatement: 48,
  });
  const stored = position({ ts: old });
  await writer.write([stored], [null]);
  const { rows } = await client.query<{ chunk: string }>(
    `SELECT c::text AS chunk FROM public.show_chunks('public.positions', older_than => interval '30 days') AS c`,
  );
  const chunk = rows[0]?.chunk ?? '';
  await client.query('SELECT _timescaledb_functions.freeze_chunk($1::regclass)', [chunk]);
  return { client, writer, stored, chunk };
}

const frozen = {
  reason: 'row_frozen_chunk',
  message: 'refused by the database: 0A000 by a frozen or tiered chunk',
};

describeTimescaledb('a frozen chunk (F4)', () => {
  test('refuses late records alone: the others are stored, a repeat is a duplicate', async () => {
    const { client, writer, stored } = await frozenDatabase();
    const late = position({ ts: old + 1000 });
    const fresh = rowsFrom(now - 3_600_000, 50, () => ({ deviceId: deviceId(2) }));
    const rows = [...fresh, late, stored];
    const outcomes: Outcomes = rows.map(() => null);

    await writer.write(rows, outcomes);

    expect(outcomes).toEqual([...fresh.map(() => 'inserted'), frozen, 'duplicate']);
    expect(await countRows(client)).toBe(51);
  });

  test('refuses a late record that comes alone; once it is unfrozen the record is stored', async () => {
    const { client, writer, chunk } = await frozenDatabase();
    const late = position({ ts: old + 1000 });
    const outcomes: Outcomes = [null];

    await writer.write([late], outcomes);
    expect(outcomes).toEqual([frozen]);

    await client.query('SELECT _timescaledb_functions.unfreeze_chunk($1::regclass)', [chunk]);
    const replayed: Outcomes = [null];
    await writer.write([late], replayed);
    expect(replayed).toEqual(['inserted']);
  });
});
