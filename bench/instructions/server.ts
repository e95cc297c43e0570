import { readFileSync } from 'node:fs';
import type { Outcomes, Position } from '../../src/core/types.ts';
import { migrate, readMigrations } from '../../src/db/migrator.ts';
import { type Database, openDatabase } from '../../src/db/pool.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import type { Figures } from '../figures.ts';
import { makeLoad } from '../rows.ts';
import {
  ask,
  type CountedServer,
  openCountedServer,
  poolOptions,
  reportMs,
  urlOf,
} from './counted-server.ts';

const batchRows = 5_000;
/** A session of one batch, and one of four. */
const batches = 5;
const dayMs = 86_400_000;
/** Fixed, so that the rows are the same in every run. */
const baseTime = Date.UTC(2026, 10, 20, 12);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

interface Case {
  readonly name: string;
  /** Stored before the count begins: chunks exist and devices are listed. */
  readonly stored: readonly Position[];
  readonly rows: readonly Position[];
  /** Share of the rows that are not stored before. */
  readonly fresh: number;
  readonly isCompressed?: boolean;
}

/**
 * Instructions and WAL that a row costs the server, the whole statement counted, whatever else the
 * machine does: TEST_POSTGRES_BIN chooses the server. BENCH_SQL names a file with statements that
 * change the migrated schema first, to measure a variant. BENCH_CASES names cases, by default all.
 * BENCH_PROFILES names a folder for callgrind's files. Nothing is noted without valgrind.
 */
export async function serverInstructions(figures: Figures): Promise<void> {
  const only = process.env.BENCH_CASES?.split(',');
  let cases = makeCases(only);
  const server = await openCountedServer(async (url, hasTimescaledb) => {
    // Without a columnstore there is nothing to compress.
    cases = cases.filter(({ isCompressed }) => hasTimescaledb || isCompressed !== true);
    await makeDatabases(url, cases);
  });
  if (server === null) {
    process.stderr.write('valgrind is not installed: instructions of the server are skipped\n');
    return;
  }
  try {
    for (const each of cases) await countCase(server, each, figures);
  } finally {
    await server.close();
  }
}

function makeCases(only: readonly string[] | undefined): readonly Case[] {
  const load = (form: 'a' | 'b', packet: number, devices: number) =>
    makeLoad(form, packet, (1 + batches) * batchRows, baseTime, devices).rows;
  const payload = load('a', 1, 500);
  const bare = payload.map((row) => ({ ...row, attributes: '{}' }));
  const all: Readonly<Record<string, () => Omit<Case, 'name'>>> = {
    payload: () => fresh(payload),
    payload_no_attributes: () => fresh(bare),
    payload_5000_devices: () => fresh(load('a', 1, 5_000)),
    frames_x10: () => fresh(load('b', 10, 500)),
    new_devices: () => fresh(load('a', 1, (1 + batches) * batchRows)),
    chunks_30: () => fresh(over(payload, 30)),
    repeated_tenth: () => ({ ...fresh(repeated(payload, 10)), fresh: 0.9 }),
    duplicates: () => ({ ...fresh(repeated(payload, 1)), fresh: 0 }),
    compressed_duplicates: () => again(makeLoad('a', 1, 20 * batchRows, baseTime).rows),
  };
  return Object.entries(all)
    .filter(([name]) => only?.includes(name) ?? true)
    .map(([name, make]) => ({ name, ...make() }));
}

/** The first batch is stored before, the others are counted. */
function fresh(rows: readonly Position[]): Omit<Case, 'name'> {
  return { stored: rows.slice(0, batchRows), rows: rows.slice(batchRows), fresh: 1 };
}

/** All rows are stored and compressed before, and some batches in the middle are sent again. */
function again(rows: readonly Position[]): Omit<Case, 'name'> {
  const middle = Math.floor(rows.length / 2);
  const sent = rows.slice(middle, middle + batches * batchRows);
  return { stored: rows, rows: sent, fresh: 0, isCompressed: true };
}

/** The same rows over so many days, those of a device in turn. */
function over(rows: readonly Position[], days: number): readonly Position[] {
  return rows.map((row, index) => ({ ...row, ts: row.ts - (index % days) * dayMs }));
}

/** Every so many rows one of the first batch again. */
function repeated(rows: readonly Position[], every: number): readonly Position[] {
  return rows.flatMap((row, index) =>
    index % every === 0 ? (rows[index % batchRows] ?? row) : row,
  );
}

/** One migrated database a case, in a locale that compares text as most servers do. */
async function makeDatabases(url: string, cases: readonly Case[]): Promise<void> {
  const migrations = await readMigrations(new URL('../../migrations/', import.meta.url));
  const variant = process.env.BENCH_SQL ? readFileSync(process.env.BENCH_SQL, 'utf8') : '';
  const limits = { connectTimeoutMs: 5000, lockTimeoutMs: 5000, migrationLockTimeoutMs: 5000 };
  const storage = { timescaledb: 'optional', chunkIntervalMs: dayMs } as const;
  const policies = { columnstoreAfterMs: 3650 * dayMs, retentionMs: null, aggregates: false };
  const domain = { enabled: false, recomputeHorizonMs: 0 };
  for (const each of cases) {
    const { name } = each;
    await ask(url, `CREATE DATABASE ${name} LOCALE 'C.UTF-8' TEMPLATE template0`);
    const ofCase = urlOf(url, name);
    await migrate(
      migrations,
      { url: ofCase, tls: null, mode: 'auto', ...limits, ...storage, ...policies, domain },
      quiet,
    );
    if (variant !== '') await ask(ofCase, variant);
    await store(ofCase, each);
    await ask(ofCase, 'VACUUM ANALYZE');
  }
}

async function store(url: string, { stored, isCompressed = false }: Case): Promise<void> {
  const database = openDatabase({ ...poolOptions, url }, quiet);
  try {
    await write(database, stored, false);
  } finally {
    await database.close(reportMs);
  }
  if (isCompressed) await compressAll(url);
}

async function compressAll(url: string): Promise<void> {
  const chunks = await ask<{ chunk: string }>(
    url,
    `SELECT c::text AS chunk FROM public.show_chunks('public.positions'::regclass) AS c`,
  );
  for (const { chunk } of chunks) await ask(url, `CALL public.convert_to_columnstore('${chunk}')`);
}

/**
 * The difference of a session with four batches and one with a single batch, so that the start of a
 * session does not count.
 */
async function countCase(server: CountedServer, each: Case, figures: Figures): Promise<void> {
  const { name, rows, fresh: share, isCompressed = false } = each;
  const session = (from: number, to: number) =>
    server.count(name, async (database) => {
      const inserted = await write(database, rows.slice(from, to), isCompressed);
      if (inserted === Math.round((to - from) * share)) return;
      throw new RangeError(`${name}: ${inserted} of ${to - from} rows were inserted`);
    });
  const short = await session(0, batchRows);
  const long = await session(batchRows, batches * batchRows);
  const counted = (batches - 2) * batchRows;
  const perRow = (more: number, less: number) => (more - less) / counted;
  const figure = `instructions_${server.hasTimescaledb ? '' : 'plain_'}${name}`;
  figures.note(figure, perRow(long.instructions, short.instructions));
  figures.note(`${figure}_wal_bytes`, perRow(long.walBytes, short.walBytes));
}

/** @returns the number of inserted rows */
async function write(
  database: Database,
  rows: readonly Position[],
  isCompressed: boolean,
): Promise<number> {
  const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };
  const writer = createPositionWriter(database, {
    ...options,
    mayBeCompressed: () => isCompressed,
  });
  let inserted = 0;
  for (let at = 0; at < rows.length; at += batchRows) {
    const batch = rows.slice(at, at + batchRows);
    const outcomes: Outcomes = batch.map(() => null);
    await writer.write(batch, outcomes);
    inserted += outcomes.filter((outcome) => outcome === 'inserted').length;
  }
  return inserted;
}
