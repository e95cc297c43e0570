import type pg from 'pg';
import type { Outcomes, Position } from '../core/types.ts';
import { asDependencyError } from './errors.ts';
import { oneRow } from './one-row.ts';
import { isHypertable } from './timescale.ts';

export interface ChunkBudgetOptions {
  readonly chunkIntervalMs: number;
  /** Age of its end after which a chunk counts as old. */
  readonly lateHorizonMs: number;
  /** Maximum number of new chunks for old records in 24 hours, over all instances. */
  readonly perDay: number;
  readonly now: () => number;
}

/** Limits the chunks that old records create: each takes locks in every query over all chunks. */
export interface ChunkBudget {
  /**
   * Rejects rows that need another new chunk for an old time once the budget is spent. Reads the
   * catalog only if a row is old and its chunk is unknown.
   * @returns the number of statements sent
   * @throws DependencyError
   */
  admit(client: pg.ClientBase, rows: readonly Position[], outcomes: Outcomes): Promise<number>;
}

/** The chunks of `positions`, as last read from the catalog. */
interface Catalog {
  /** False for a plain table: nothing is rejected. */
  readonly isHypertable: boolean;
  readonly chunks: readonly { readonly start: number; readonly end: number }[];
  /** Old chunks created in the last 24 hours. */
  readonly spent: number;
  readonly readAt: number;
}

/** Maximum number of statements to read the catalog. */
const statementsOfCatalog = 3;

/** Maximum age of the catalog for an unknown chunk: another instance may have created it since. */
const maxAgeOfMissMs = 5000;

/** Maximum age of the catalog for a known chunk: it may have been dropped since. */
const maxAgeMs = 600_000;

export function createChunkBudget(options: ChunkBudgetOptions): ChunkBudget {
  const { chunkIntervalMs, lateHorizonMs, perDay, now } = options;
  let catalog: Catalog | null = null;
  /** Numbers of the chunks admitted since the catalog was read. */
  let admitted = new Set<number>();
  const numberOf = (ts: number) => Math.floor(ts / chunkIntervalMs);

  async function refresh(client: pg.ClientBase, maxAge: number): Promise<number> {
    // Below zero after the clock was set back: the age is not known.
    const age = catalog === null ? -1 : now() - catalog.readAt;
    if (age >= 0 && age < maxAge) return 0;
    catalog = await readCatalog(client, lateHorizonMs, now());
    admitted = new Set();
    return statementsOfCatalog;
  }

  const isKnown = (ts: number) =>
    catalog === null || !catalog.isHypertable || admitted.has(numberOf(ts)) || covers(catalog, ts);

  function spend(ts: number): boolean {
    if (isKnown(ts)) return true;
    if ((catalog?.spent ?? 0) + admitted.size >= perDay) return false;
    admitted.add(numberOf(ts));
    return true;
  }

  return {
    async admit(client, rows, outcomes) {
      const oldBefore = now() - lateHorizonMs - chunkIntervalMs;
      const old = [...rows.keys()].filter((index) => isOld(rows, outcomes, index, oldBefore));
      if (old.length === 0) return 0;
      const ts = (index: number) => rows[index]?.ts ?? Number.NaN;
      let statements = await refresh(client, maxAgeMs);
      if (!old.every((index) => isKnown(ts(index)))) {
        statements += await refresh(client, maxAgeOfMissMs);
      }
      for (const index of old) if (!spend(ts(index))) outcomes[index] = rejected(perDay);
      return statements;
    },
  };
}

function isOld(
  rows: readonly Position[],
  outcomes: Outcomes,
  index: number,
  oldBefore: number,
): boolean {
  return (rows[index]?.ts ?? oldBefore) < oldBefore && outcomes[index] === null;
}

function rejected(perDay: number) {
  const message = `needs a new chunk for an old time, and ${perDay} were made in 24 hours (OLD_CHUNKS_PER_DAY)`;
  return { reason: 'chunk_budget_exhausted', message } as const;
}

/** Whether a chunk contains the time; a binary search, as chunks are sorted and do not overlap. */
function covers({ chunks }: Catalog, ts: number): boolean {
  let [low, high] = [0, chunks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const chunk = chunks[middle];
    if (chunk === undefined) return false;
    if (ts < chunk.start) high = middle;
    else if (ts >= chunk.end) low = middle + 1;
    else return true;
  }
  return false;
}

const chunksStatement = `
  SELECT (extract(epoch FROM range_start) * 1000)::float8 AS start,
         (extract(epoch FROM range_end) * 1000)::float8 AS end,
         chunk_creation_time > now() - INTERVAL '1 day'
           AND range_end <= chunk_creation_time - $1 * INTERVAL '1 millisecond' AS was_old
    FROM timescaledb_information.chunks
   WHERE hypertable_schema = 'public' AND hypertable_name = 'positions'
   ORDER BY range_start`;

interface ChunkRow {
  readonly start: number;
  readonly end: number;
  readonly was_old: boolean;
}

async function readCatalog(
  client: pg.ClientBase,
  lateHorizonMs: number,
  readAt: number,
): Promise<Catalog> {
  try {
    if (!(await hasChunks(client))) return { isHypertable: false, chunks: [], spent: 0, readAt };
    const { rows } = await client.query<ChunkRow>(chunksStatement, [lateHorizonMs]);
    const spent = rows.filter(({ was_old: wasOld }) => wasOld).length;
    return { isHypertable: true, chunks: rows, spent, readAt };
  } catch (error) {
    throw asDependencyError(error);
  }
}

async function hasChunks(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(
    "SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL AS there",
  );
  return oneRow(rows).there && (await isHypertable(client));
}

/** Counts the chunks of `positions`; a plain table has none. @throws DependencyError */
export async function countChunks(client: pg.ClientBase): Promise<number> {
  try {
    if (!(await hasChunks(client))) return 0;
    const { rows } = await client.query<{ chunks: number }>(
      "SELECT count(*)::int AS chunks FROM pg_catalog.pg_inherits WHERE inhparent = 'public.positions'::regclass",
    );
    return oneRow(rows).chunks;
  } catch (error) {
    throw asDependencyError(error);
  }
}
