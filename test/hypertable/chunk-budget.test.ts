import { describe, expect, test } from 'vitest';
import type { Outcomes, Position } from '../../src/core/types.ts';
import { countChunks, createChunkBudget } from '../../src/db/chunk-budget.ts';
import type { Database } from '../../src/db/pool.ts';
import { createPositionWriter, type PositionWriter } from '../../src/db/position-writer.ts';
import { dayMs, deviceId, migratedDatabase, position } from '../db/positions.ts';
import { hasTimescaledb } from '../setup/database.ts';
import { describeEachTable, describeHypertable } from '../setup/hypertable.ts';

const now = Date.now();
const rejected = {
  reason: 'chunk_budget_exhausted',
  message: expect.stringContaining('OLD_CHUNKS_PER_DAY'),
};

/** A writer as of an instance that has just started. */
function writerOn(database: Database, perDay: number, clock = () => now): PositionWriter {
  const chunkBudget = createChunkBudget({
    chunkIntervalMs: dayMs,
    lateHorizonMs: 7 * dayMs,
    perDay,
    now: clock,
  });
  return createPositionWriter(database, {
    chunkIntervalMs: dayMs,
    maxChunksPerStatement: 48,
    chunkBudget,
  });
}

async function write(writer: PositionWriter, rows: readonly Position[]) {
  const outcomes: Outcomes = rows.map(() => null);
  const statements = await writer.write(rows, outcomes);
  return { outcomes, statements };
}

/** A record on each of some old days. */
function oldDays(many: number, firstDay = 100, device = 1): Position[] {
  return Array.from({ length: many }, (_, index) =>
    position({ deviceId: deviceId(device), ts: now - (firstDay + index) * dayMs }),
  );
}

describeHypertable('old records that need new chunks', (fresh) => {
  test('make as many as the budget allows; the rest is rejected, recent records are stored', async () => {
    const { database } = await migratedDatabase({}, fresh);
    const recent = position({ ts: now - 1000 });

    const { outcomes } = await write(writerOn(database, 3), [...oldDays(10), recent]);

    expect(outcomes.filter((outcome) => outcome === 'inserted')).toHaveLength(4);
    expect(outcomes.slice(0, 10).filter((outcome) => typeof outcome === 'object')).toEqual(
      Array.from({ length: 7 }, () => rejected),
    );
    expect(outcomes[10]).toBe('inserted');
    expect(await database.use(countChunks)).toBe(4);
  });

  test('share one budget between instances and over a restart; chunks that are there cost nothing', async () => {
    const { database } = await migratedDatabase({}, fresh);
    await write(writerOn(database, 3), oldDays(3));

    const { outcomes } = await write(writerOn(database, 4), [
      ...oldDays(3, 100, 2),
      ...oldDays(2, 200, 2),
    ]);

    expect(outcomes).toEqual(['inserted', 'inserted', 'inserted', 'inserted', rejected]);
  });

  test('have a new budget after a day, and with a larger one what was rejected can be stored', async () => {
    const { database, client } = await migratedDatabase({}, fresh);
    await write(writerOn(database, 3), oldDays(3));
    expect((await write(writerOn(database, 4), oldDays(2, 200))).outcomes).toEqual([
      'inserted',
      rejected,
    ]);

    await client.query(
      "UPDATE _timescaledb_catalog.chunk SET creation_time = creation_time - INTERVAL '25 hours'",
    );

    expect((await write(writerOn(database, 4), oldDays(2, 200))).outcomes).toEqual([
      'duplicate',
      'inserted',
    ]);
  });

  test('share the budget also after the clock of an instance was set back', async () => {
    const { database } = await migratedDatabase({}, fresh);
    let clock = now;
    const writer = writerOn(database, 2, () => clock);
    await write(writer, oldDays(1));
    await write(writerOn(database, 2), oldDays(1, 101));
    clock = now - 3_600_000;

    expect((await write(writer, oldDays(1, 102))).outcomes).toEqual([rejected]);
  });

  test('are looked up in the catalog once: the next batch for the same days is one statement', async () => {
    const { database } = await migratedDatabase({}, fresh);
    const writer = writerOn(database, 3);
    await write(writer, oldDays(3));

    expect((await write(writer, oldDays(3, 100, 2))).statements).toBe(1);
  });
});

describeEachTable('recent records', (fresh) => {
  test('cost no statement beside the insert, also when the budget is spent', async () => {
    const { database } = await migratedDatabase({}, fresh);
    const rows = Array.from({ length: 8 }, (_, day) => position({ ts: now - day * dayMs }));

    const { outcomes, statements } = await write(writerOn(database, 0), rows);

    expect(new Set(outcomes)).toEqual(new Set(['inserted']));
    expect(statements).toBe(1);
  });
});

describe.skipIf(hasTimescaledb())('a plain table', () => {
  test('has no chunks: no old record is rejected for its time', async () => {
    const { database } = await migratedDatabase();

    const { outcomes } = await write(writerOn(database, 0), oldDays(5));

    expect(new Set(outcomes)).toEqual(new Set(['inserted']));
    expect(await database.use(countChunks)).toBe(0);
  });
});
