import type pg from 'pg';
import { retryLock } from './lock-retry.ts';
import { oneRow } from './one-row.ts';
import { isHypertable, usableTimescale } from './timescale.ts';

/** What the retention command drops, and how. */
export type RetentionPlan =
  | {
      readonly kind: 'chunks';
      readonly cutoff: Date;
      /** Names and ends of the chunks that are wholly older, oldest first. */
      readonly chunks: readonly { readonly name: string; readonly end: Date }[];
      /** The schema of TimescaleDB's functions. */
      readonly schema: string;
    }
  | {
      readonly kind: 'rows';
      readonly cutoff: Date;
      /** Pages of the table; rows older than the cutoff can be in any of them. */
      readonly pages: number;
    };

/** Pages that one statement scans: 8 MB, about 30,000 rows. */
const pagesAtATime = 1024;

/** Advisory lock of one run of the command, on any host; a second run does not wait for it. */
const retentionLock = [0x70726f63, 2] as const;

/** Finds what is older than `retentionMs`; changes nothing. */
export async function planRetention(
  client: pg.ClientBase,
  retentionMs: number,
): Promise<RetentionPlan> {
  // The server's clock, which TimescaleDB's policy also uses.
  const { rows: now } = await client.query<{ now_ms: number }>(
    'SELECT (extract(epoch FROM now()) * 1000)::float8 AS now_ms',
  );
  const cutoff = new Date(oneRow(now).now_ms - retentionMs);
  const timescale = await usableTimescale(client);
  if (timescale !== null && (await isHypertable(client))) {
    const { rows } = await client.query<{ name: string; end_ms: number }>(
      `SELECT chunk_name AS name, (extract(epoch FROM range_end) * 1000)::float8 AS end_ms
         FROM timescaledb_information.chunks
        WHERE hypertable_schema = 'public' AND hypertable_name = 'positions'
          AND range_end <= $1 ORDER BY range_end`,
      [cutoff],
    );
    const chunks = rows.map(({ name, end_ms: endMs }) => ({ name, end: new Date(endMs) }));
    return { kind: 'chunks', cutoff, chunks, schema: timescale.schema };
  }
  const { rows } = await client.query<{ pages: number }>(
    "SELECT (pg_relation_size('public.positions') / current_setting('block_size')::int)::int AS pages",
  );
  return { kind: 'rows', cutoff, pages: oneRow(rows).pages };
}

/** Counts the rows that a plan would delete from a plain table; window by window. */
export async function countOldRows(
  client: pg.ClientBase,
  plan: RetentionPlan & { kind: 'rows' },
  signal: AbortSignal,
): Promise<number> {
  return await overPages(plan, signal, async (from, to) => {
    const { rows } = await client.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM public.positions WHERE ctid >= $1::tid AND ctid < $2::tid AND ts < $3',
      [from, to, plan.cutoff],
    );
    return oneRow(rows).count;
  });
}

/**
 * Executes a plan in small steps, each its own transaction: a chunk at a time, or the old rows of
 * some pages at a time. An interrupted run has done whole steps, and the next run continues.
 * @returns the number of dropped chunks or deleted rows; null if another run is active
 */
export async function applyRetention(
  client: pg.ClientBase,
  plan: RetentionPlan,
  signal: AbortSignal,
): Promise<number | null> {
  const { rows } = await client.query<{ got: boolean }>(
    'SELECT pg_try_advisory_lock($1, $2) AS got',
    [...retentionLock],
  );
  if (!oneRow(rows).got) return null;
  try {
    const gone =
      plan.kind === 'chunks'
        ? await dropChunks(client, plan, signal)
        : await deleteRows(client, plan, signal);
    await forgetDevices(client, plan.cutoff);
    return gone;
  } finally {
    await client.query('SELECT pg_advisory_unlock($1, $2)', [...retentionLock]);
  }
}

async function dropChunks(
  client: pg.ClientBase,
  plan: RetentionPlan & { kind: 'chunks' },
  signal: AbortSignal,
): Promise<number> {
  let gone = 0;
  for (const { end } of plan.chunks) {
    if (signal.aborted) break;
    // Oldest first, so that this is one chunk: each takes locks of its own.
    gone += await retryLock(async () => {
      const dropped = await client.query(
        `SELECT ${plan.schema}.drop_chunks('public.positions', older_than => $1::timestamptz)`,
        [end],
      );
      return dropped.rowCount ?? 0;
    });
  }
  return gone;
}

async function deleteRows(
  client: pg.ClientBase,
  plan: RetentionPlan & { kind: 'rows' },
  signal: AbortSignal,
): Promise<number> {
  return await overPages(plan, signal, (from, to) =>
    retryLock(async () => {
      const deleted = await client.query(
        'DELETE FROM public.positions WHERE ctid >= $1::tid AND ctid < $2::tid AND ts < $3',
        [from, to, plan.cutoff],
      );
      return deleted.rowCount ?? 0;
    }),
  );
}

/** Runs `step` over ranges of pages, which needs no index on ts and reads each page once. */
async function overPages(
  { pages }: { readonly pages: number },
  signal: AbortSignal,
  step: (from: string, to: string) => Promise<number>,
): Promise<number> {
  let sum = 0;
  for (let page = 0; page < pages && !signal.aborted; page += pagesAtATime) {
    sum += await step(`(${page},0)`, `(${page + pagesAtATime},0)`);
  }
  return sum;
}

/**
 * Forgets devices that have no row left. Each is asked for by itself: joined, the planner may read
 * the whole table. One whose first row comes in this moment is noted again with its next.
 */
async function forgetDevices(client: pg.ClientBase, cutoff: Date): Promise<void> {
  await retryLock(async () => {
    const deleted = await client.query(
      `DELETE FROM positions.devices AS d WHERE d.newest_day < $1
          AND (SELECT 1 FROM public.positions AS p WHERE p.device_id = d.device_id LIMIT 1) IS NULL`,
      [cutoff],
    );
    return deleted.rowCount ?? 0;
  });
}
