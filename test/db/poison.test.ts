import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import type { Outcomes, Position } from '../../src/core/types.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { testLimitMs } from '../faults/mode.ts';
import { hasTimescaledb } from '../setup/database.ts';
import { dayMs, migratedDatabase, position, someTime } from './positions.ts';

const rowsInBatch = 5000;

async function setUp() {
  const { database, client } = await migratedDatabase();
  const writer = createPositionWriter(database, {
    chunkIntervalMs: dayMs,
    maxChunksPerStatement: 48,
  });
  const write = async (rows: readonly Position[]) => {
    const outcomes: Outcomes = rows.map(() => null);
    const statements = await writer.write(rows, outcomes);
    return { outcomes, statements };
  };
  return { client, writer, write };
}

async function count(client: Client): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM public.positions',
  );
  return rows[0]?.n ?? Number.NaN;
}

function batchWithBad(bad: ReadonlySet<number>, many = rowsInBatch): Position[] {
  return Array.from({ length: many }, (_, index) =>
    position({
      ts: someTime + index * 1000,
      recordIndex: index,
      ...(bad.has(index) ? { speed: 70_000 } : {}),
    }),
  );
}

/**
 * Inserts for k bad rows among n: each level of the bisection splits at most k parts, each into
 * two; and never more than 2n - 1.
 */
function mostInserts(many: number, bad: number): number {
  const levels = Math.ceil(Math.log2(many));
  const free = Math.floor(Math.log2(Math.max(1, bad)));
  return Math.min(2 * many - 1, 2 ** (free + 1) - 1 + 2 * bad * (levels - free));
}

describe('bad rows in a batch of 5,000', () => {
  test.each([
    ['one', new Set([3333]), 28],
    ['ten', new Set([0, 1, 700, 1234, 2500, 2501, 3999, 4000, 4998, 4999]), 216],
  ])('%s: all others are stored, in no more statements than stated', async (_name, bad, bound) => {
    const { client, write } = await setUp();
    expect(mostInserts(rowsInBatch, bad.size)).toBeLessThanOrEqual(bound);

    const { outcomes, statements } = await write(batchWithBad(bad));

    expect(statements).toBeLessThanOrEqual(bound);
    expect(await count(client)).toBe(rowsInBatch - bad.size);
    outcomes.forEach((outcome, index) => {
      if (!bad.has(index)) expect(outcome).toBe('inserted');
      else expect(outcome).toMatchObject({ reason: 'row_constraint_violated' });
    });
  });

  test(
    'all: each has its reason, in less than 2n inserts and a probe for every 64, and nothing is stored',
    async () => {
      const { client, write } = await setUp();
      const many = 1000;

      const { outcomes, statements } = await write(
        batchWithBad(new Set(Array.from({ length: many }, (_, index) => index)), many),
      );

      const probes = 2 + Math.ceil(many / 64);
      expect(statements).toBeLessThanOrEqual(2 * many - 1 + probes * 24 + 2);
      expect(await count(client)).toBe(0);
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ reason: 'row_constraint_violated' });
      }
      // A failed insert into a chunk that is not there yet makes and rolls back the chunk, each time.
    },
    testLimitMs,
  );
});

const needsPlainTable = 'needs a PostgreSQL without TimescaleDB (npm test without TEST_* has one)';
const plainTable = { meta: { needs: needsPlainTable } };

// On a hypertable: test/hypertable/storage.test.ts.
describe.skipIf(hasTimescaledb())('a tracker with 5,000 records on 5,000 days', plainTable, () => {
  test('is stored in a plain table, in 105 statements', async () => {
    const { client, write } = await setUp();
    const rows = Array.from({ length: 5000 }, (_, index) =>
      position({ ts: someTime - index * dayMs, recordIndex: index }),
    );

    const { outcomes, statements } = await write(rows);

    expect(new Set(outcomes)).toEqual(new Set(['inserted']));
    expect(await count(client)).toBe(5000);
    expect(statements).toBe(Math.ceil(5000 / 48));
  });
});

/** Makes every insert of more than `maxRows` rows fail, like a limit of the server. */
async function limitRows(client: Client, maxRows: number, sqlstate: string): Promise<void> {
  await client.query(`
    CREATE FUNCTION refuse_large() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF (SELECT count(*) FROM arrived) > ${maxRows} THEN
        RAISE EXCEPTION 'limit' USING ERRCODE = '${sqlstate}';
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER refuse_large AFTER INSERT ON public.positions REFERENCING NEW TABLE AS arrived
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_large()`);
}

describe('an error that the size of the batch causes', () => {
  test.each(['53200', '53400'])('%s: the batch is split until it passes', async (sqlstate) => {
    const { client, write } = await setUp();
    await limitRows(client, 100, sqlstate);

    const { outcomes, statements } = await write(batchWithBad(new Set(), 1000));

    expect(new Set(outcomes)).toEqual(new Set(['inserted']));
    // 1, 2, 4, 8 parts are too large, 16 are not.
    expect(statements).toBe(1 + 2 + 4 + 8 + 16);
    expect(await count(client)).toBe(1000);
  });

  test('of a single row is no fault of the row: it waits, and nothing is rejected', async () => {
    const { client, writer } = await setUp();
    await limitRows(client, 0, '53400');
    const rows = batchWithBad(new Set(), 4);
    const outcomes: Outcomes = rows.map(() => null);

    await expect(writer.write(rows, outcomes)).rejects.toMatchObject({
      name: 'DependencyError',
      kind: 'unavailable',
      code: '53400',
    });
    expect(outcomes).toEqual([null, null, null, null]);
  });
});

describe('a single row that meets a server error', () => {
  /** Makes the insert of one row fail, whatever it comes with. */
  async function failFor(client: Client, speed: number, sqlstate: string): Promise<void> {
    await client.query(`
      CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.speed = ${speed} THEN RAISE EXCEPTION 'internal' USING ERRCODE = '${sqlstate}'; END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER refuse_one BEFORE INSERT ON public.positions
        FOR EACH ROW EXECUTE FUNCTION refuse_one()`);
  }
  const rows = Array.from({ length: 1000 }, (_, index) =>
    position({ ts: someTime + index * 1000, recordIndex: index, speed: index === 400 ? 77 : 1 }),
  );

  test.each(['XX000', '53400'])(
    '%s: it is rejected, and its neighbours are stored',
    async (code) => {
      const { client, write } = await setUp();
      await failFor(client, 77, code);

      const { outcomes } = await write(rows);

      expect(outcomes[400]).toMatchObject({ reason: 'row_refused_by_trigger' });
      expect(outcomes.filter((outcome) => outcome === 'inserted')).toHaveLength(999);
      expect(await count(client)).toBe(999);
    },
  );

  test('53200: it waits, and its neighbours are stored', async () => {
    const { client, writer } = await setUp();
    await failFor(client, 77, '53200');
    const outcomes: Outcomes = rows.map(() => null);

    await expect(writer.write(rows, outcomes)).rejects.toMatchObject({ code: '53200' });
    expect(outcomes[400]).toBeNull();
    expect(outcomes.filter((outcome) => outcome === 'inserted')).toHaveLength(999);
    expect(await count(client)).toBe(999);
  });

  test('of a batch whose rows all fail: it is the server, nothing is rejected, soon given up', async () => {
    const { client, writer } = await setUp();
    await client.query('CREATE SEQUENCE attempts');
    await client.query(`
      CREATE FUNCTION refuse_all() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM nextval('public.attempts');
        RAISE EXCEPTION 'internal' USING ERRCODE = 'XX000';
      END $$;
      CREATE TRIGGER refuse_all BEFORE INSERT ON public.positions
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_all()`);
    const outcomes: Outcomes = rows.map(() => null);

    await expect(writer.write(rows, outcomes)).rejects.toMatchObject({ code: 'XX000' });
    expect(new Set(outcomes)).toEqual(new Set([null]));
    const attempts = await client.query<{ n: number }>('SELECT last_value::int AS n FROM attempts');
    expect(attempts.rows[0]?.n).toBeLessThan(40);
  });
});

describe('a transient error', () => {
  test.each(['40001', '40P01', '55P03', '57014'])(
    '%s: the batch is not split, one statement is sent, nothing is rejected',
    async (sqlstate) => {
      const { client, writer } = await setUp();
      await client.query('CREATE SEQUENCE attempts');
      await client.query(`
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          PERFORM nextval('public.attempts');
          RAISE EXCEPTION 'not now' USING ERRCODE = '${sqlstate}';
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON public.positions
          FOR EACH STATEMENT EXECUTE FUNCTION refuse()`);
      const rows = batchWithBad(new Set(), 500);
      const outcomes: Outcomes = rows.map(() => null);

      await expect(writer.write(rows, outcomes)).rejects.toMatchObject({
        name: 'DependencyError',
        kind: 'unavailable',
        code: sqlstate,
      });
      expect(new Set(outcomes)).toEqual(new Set([null]));
      const attempts = await client.query('SELECT last_value::int AS n FROM attempts');
      expect(attempts.rows).toEqual([{ n: 1 }]);
    },
  );
});

test('rows that vanish between insert and comparison are tried in three passes and by the canary, then wait', async () => {
  const { client, writer } = await setUp();
  // Like retention that drops the chunk being written: the key exists, and then it does not.
  await client.query(`
    CREATE SEQUENCE inserts;
    CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM nextval('public.inserts'); RETURN NULL; END $$;
    CREATE TRIGGER swallow BEFORE INSERT ON public.positions FOR EACH ROW EXECUTE FUNCTION swallow()`);
  const rows = batchWithBad(new Set(), 1);
  const outcomes: Outcomes = [null];

  await expect(writer.write(rows, outcomes)).rejects.toMatchObject({ code: 'ROWS_VANISHED' });
  expect((await client.query('SELECT last_value::int AS n FROM inserts')).rows).toEqual([{ n: 4 }]);
});
