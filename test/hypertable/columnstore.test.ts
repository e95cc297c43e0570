import type { Client } from 'pg';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Outcomes, Position } from '../../src/core/types.ts';
import { describePolicies } from '../../src/db/policies.ts';
import { createPositionWriter, type PositionWriter } from '../../src/db/position-writer.ts';
import { dayMs, deviceId, migratedDatabase, openPool, position } from '../db/positions.ts';
import { compressAll } from '../db/stored-table.ts';
import { describeTimescaledb } from '../setup/database.ts';
import { describeHypertable } from '../setup/hypertable.ts';

const start = Date.UTC(2026, 2, 1);
const minuteMs = 60_000;
const devices = 10;
const perDevice = 500;

const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };

let client: Client;
let url = '';
let writer: PositionWriter;
let isCommunity = false;

/** A record of a device, some minutes into the day, with content that depends on its index. */
function at(device: number, minute: number, change: Partial<Position> = {}): Position {
  return position({
    deviceId: deviceId(device),
    ts: start + minute * minuteMs,
    speed: minute % 100,
    recordIndex: minute,
    ...change,
  });
}

async function write(rows: readonly Position[]): Promise<{ outcomes: Outcomes; many: number }> {
  const outcomes: Outcomes = rows.map(() => null);
  return { many: await writer.write(rows, outcomes), outcomes };
}

async function count(): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM public.positions',
  );
  return rows[0]?.n ?? Number.NaN;
}

async function compressedChunks(): Promise<number> {
  return (await describePolicies(client)).compressedChunks;
}

function tally(outcomes: Outcomes): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) {
    const key = typeof outcome === 'string' ? outcome : 'refused';
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/** Every other minute of two days, compressed; the minutes between are free for late records. */
async function compressedDays(): Promise<Position[]> {
  const rows: Position[] = [];
  for (let device = 1; device <= devices; device += 1) {
    for (let index = 0; index < perDevice; index += 1) rows.push(at(device, index * 4));
  }
  for (let from = 0; from < rows.length; from += 5000) await write(rows.slice(from, from + 5000));
  await compressAll(client);
  return rows;
}

describeHypertable('the columnstore', (fresh) => {
  beforeEach(async () => {
    // So late that the policy's own job finds nothing to compress while a test does.
    const opened = await migratedDatabase({ columnstoreAfterMs: 3650 * dayMs }, fresh);
    client = opened.client;
    url = opened.url;
    writer = createPositionWriter(opened.database, { ...options, mayBeCompressed: () => true });
    isCommunity = (await describePolicies(client)).edition === 'community';
  });

  function testCompressed(name: string, run: (stored: Position[]) => Promise<void>): void {
    test(name, async ({ skip }) => {
      if (!isCommunity) skip('needs the Community edition');
      const stored = await compressedDays();
      expect(await compressedChunks()).toBe(2);
      await run(stored);
    });
  }

  describe('late records into compressed chunks', () => {
    testCompressed('are inserted, in one statement', async (stored) => {
      const late = stored.slice(0, 5000).map((row) => ({ ...row, ts: row.ts + minuteMs }));

      const { outcomes, many } = await write(late);

      expect(tally(outcomes)).toEqual({ inserted: 5000 });
      expect(many).toBe(1);
      expect(await count()).toBe(stored.length + 5000);
    });

    testCompressed('of devices the chunk has never seen are inserted', async (stored) => {
      const { outcomes } = await write([at(900, 5), at(901, 1500)]);

      expect(outcomes).toEqual(['inserted', 'inserted']);
      expect(await count()).toBe(stored.length + 2);
    });

    testCompressed(
      'that are there already are duplicates, compared a chunk at a time',
      async (stored) => {
        const { outcomes, many } = await write(stored.slice(0, 5000));

        expect(tally(outcomes)).toEqual({ duplicate: 5000 });
        expect(many).toBe(1 + 2);
        expect(await count()).toBe(stored.length);
        expect(await compressedChunks()).toBe(2);
      },
    );

    testCompressed(
      'of other content are conflicts, and the first version stays',
      async (stored) => {
        const changed = stored
          .slice(0, 1000)
          .map((row) => ({ ...row, speed: (row.speed ?? 0) + 1 }));

        expect(tally((await write(changed)).outcomes)).toEqual({ conflict: 1000 });
        expect(tally((await write(stored.slice(0, 1000))).outcomes)).toEqual({ duplicate: 1000 });
      },
    );

    // timescaledb#7672: before 2.18.1 the first conflict ended the statement and the rest was lost.
    testCompressed('half there and half new, each gets its own outcome', async (stored) => {
      const half = stored.slice(0, 3000);
      const rows = half.flatMap((row, index) => {
        if (index % 3 === 0) return [row];
        if (index % 3 === 1) return [{ ...row, ts: row.ts + minuteMs }];
        return [{ ...row, altitude: (row.altitude ?? 0) + 1 }];
      });
      const expected = half.map((_, index) => ['duplicate', 'inserted', 'conflict'][index % 3]);

      const { outcomes, many } = await write(rows);

      expect(outcomes).toEqual(expected);
      expect(many).toBe(1 + 2);
      expect(await count()).toBe(stored.length + 1000);
    });

    testCompressed('one that the database refuses takes no neighbour along', async (stored) => {
      const rows = stored.slice(0, 1000).map((row, index) => ({
        ...row,
        ts: row.ts + minuteMs,
        ...(index === 613 ? { speed: 70_000 } : {}),
      }));

      const { outcomes, many } = await write(rows);

      expect(tally(outcomes)).toEqual({ inserted: 999, refused: 1 });
      // One more compares the refused row: it may be stored already (decision 0035).
      expect(many).toBeLessThanOrEqual(2 + 2 * Math.ceil(Math.log2(1000)));
    });

    // On PGlite one would wait for the other.
    describeTimescaledb('by two writers at once', () => {
      testCompressed('are each stored once', async (stored) => {
        const late = stored.slice(0, 1000).map((row) => ({ ...row, ts: row.ts + minuteMs }));

        const [one, two] = await Promise.all([write(late), write(late.toReversed())]);

        expect(tally([...one.outcomes, ...two.outcomes])).toEqual({
          inserted: 1000,
          duplicate: 1000,
        });
        expect(await count()).toBe(stored.length + 1000);
      });
    });

    testCompressed('are read beside the compressed, also as the last position', async (stored) => {
      const newest = at(1, perDevice * 4 + 3, { speed: 99 });
      await write([newest, at(1, 1)]);

      const { rows } = await client.query(
        'SELECT last_ts, speed FROM positions.last_position($1)',
        [[deviceId(1)]],
      );
      const { rows: track } = await client.query(
        'SELECT count(*)::int AS n FROM positions.track($1, $2, $3)',
        [deviceId(1), new Date(start), new Date(start + 3 * dayMs)],
      );

      expect(rows).toEqual([{ last_ts: new Date(newest.ts), speed: 99 }]);
      expect(track).toEqual([{ n: perDevice + 2 }]);
      expect(stored).toHaveLength(devices * perDevice);
    });

    testCompressed('are compressed again with the rest', async (stored) => {
      await write(stored.slice(0, 1000).map((row) => ({ ...row, ts: row.ts + minuteMs })));
      await client.query(
        "SELECT public.compress_chunk(c, true, recompress => true) FROM public.show_chunks('public.positions') AS c",
      );

      expect(await count()).toBe(stored.length + 1000);
      expect(tally((await write(stored.slice(0, 1000))).outcomes)).toEqual({ duplicate: 1000 });
    });
  });

  describe('the limit on decompressed tuples (53400)', () => {
    /** From here on the writer has connections with this limit. */
    function limitTo(tuples: number): void {
      const limited = new URL(url);
      limited.searchParams.set(
        'options',
        `-c timescaledb.max_tuples_decompressed_per_dml_transaction=${tuples}`,
      );
      writer = createPositionWriter(openPool(limited.href), {
        ...options,
        mayBeCompressed: () => true,
      });
    }

    testCompressed('is not reached by inserting, comparing or refusing', async (stored) => {
      limitTo(1);
      const rows = stored
        .slice(0, 4000)
        .map((row, index) => (index % 2 === 0 ? row : { ...row, ts: row.ts + minuteMs }));

      const { outcomes, many } = await write(rows);

      expect(tally(outcomes)).toEqual({ duplicate: 2000, inserted: 2000 });
      expect(many).toBe(1 + 2);
    });

    /** A trigger that updates compressed rows of the batch's devices: a segment each. */
    async function decompressingTrigger(): Promise<void> {
      // PGlite is one database for the whole file, so the case before may have left its own.
      await client.query(`
        DROP TABLE IF EXISTS public.echo CASCADE;
        DROP FUNCTION IF EXISTS public.echo CASCADE;
        CREATE TABLE public.echo (device_id text NOT NULL, ts timestamptz NOT NULL, n integer);
        SELECT public.create_hypertable('public.echo', public.by_range('ts'));
        INSERT INTO public.echo SELECT d::text, '2026-03-01'::timestamptz + i * interval '1 minute', 0
          FROM generate_series(350000000000001, 350000000000016) AS d, generate_series(1, 100) AS i;
        ALTER TABLE public.echo SET (timescaledb.compress, timescaledb.compress_segmentby = 'device_id');
        SELECT public.compress_chunk(c) FROM public.show_chunks('public.echo') AS c;
        CREATE FUNCTION public.echo() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          -- TimescaleDB 2.27.2 ends the server at an UPDATE with = ANY (NULL) on compressed chunks.
          IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
          EXECUTE format('UPDATE public.echo SET n = n + 1 WHERE device_id = ANY (%L)',
            (SELECT array_agg(device_id) FROM new_rows));
          RETURN NULL;
        END $$;
        CREATE TRIGGER echo AFTER INSERT ON public.positions REFERENCING NEW TABLE AS new_rows
          FOR EACH STATEMENT EXECUTE FUNCTION public.echo();`);
    }

    testCompressed('reached by a batch, it is split until it fits', async (stored) => {
      await decompressingTrigger();
      limitTo(450);
      const rows = Array.from({ length: 16 }, (_, index) => at(index + 1, 1));

      const { outcomes, many } = await write(rows);

      expect(tally(outcomes)).toEqual({ inserted: 16 });
      // 16 and 8 are refused, 4 segments of 100 fit: 1 + 2 + 4 statements.
      expect(many).toBe(7);
      expect(await count()).toBe(stored.length + 16);
    });

    testCompressed(
      'reached by single rows while a canary is stored, it rejects them',
      async (stored) => {
        await decompressingTrigger();
        limitTo(50);
        const { outcomes } = await write([at(1, 1), at(2, 1)]);

        expect(outcomes).toMatchObject([
          { reason: 'row_refused_by_trigger' },
          { reason: 'row_refused_by_trigger' },
        ]);
        expect(await count()).toBe(stored.length);
      },
    );
  });
});
