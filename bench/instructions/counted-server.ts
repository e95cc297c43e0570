import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { type Database, openDatabase } from '../../src/db/pool.ts';
import { findProgram } from '../../tools/servers/programs.ts';
import { type LocalServer, startPostgres } from '../../tools/servers/servers.ts';
import { temporaryPrefix, unprivilegedUser } from '../../tools/servers/system-user.ts';

/** What one session of the service cost the server. */
export interface SessionCost {
  readonly instructions: number;
  readonly walBytes: number;
}

/** A PostgreSQL that runs under callgrind, which counts the instructions of each backend. */
export interface CountedServer {
  readonly hasTimescaledb: boolean;
  /** The cost of a session from its first statement to its end, start of the backend included. */
  count(database: string, work: (database: Database) => Promise<void>): Promise<SessionCost>;
  close(): Promise<void>;
}

/**
 * Full-page images depend on when a checkpoint was, and background work on the clock: without both,
 * a count is the same in every run but for some parts in ten thousand.
 */
const settings = {
  full_page_writes: 'off',
  autovacuum: 'off',
  checkpoint_timeout: '1d',
  max_wal_size: '8GB',
  shared_buffers: '256MB',
  track_commit_timestamp: 'on',
  bgwriter_lru_maxpages: '0',
};
const ofTimescaledb = { 'timescaledb.max_background_workers': '0' };

/** A server under callgrind takes some fifty times as long. */
const patientMs = 3_600_000;
export const reportMs = 120_000;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Lets `prepare` create databases on an ordinary server, then restarts it under callgrind; null where
 * valgrind is not installed.
 */
export async function openCountedServer(
  prepare: (url: string, hasTimescaledb: boolean) => Promise<void>,
): Promise<CountedServer | null> {
  const valgrind = findProgram('valgrind');
  if (valgrind === null) return null;
  const dir = mkdtempSync(temporaryPrefix('callgrind'));
  const out = join(dir, 'counts');
  mkdirSync(out);
  const user = unprivilegedUser();
  if (user !== null) for (const folder of [dir, out]) chownSync(folder, user.uid, user.gid);
  const remove = () => rmSync(dir, { recursive: true, force: true });
  try {
    const hasTimescaledb = await prepared(dir, prepare);
    const all = { ...settings, ...(hasTimescaledb && ofTimescaledb) };
    const file = `--callgrind-out-file=${out}/%p`;
    const under = [valgrind, '--tool=callgrind', '--trace-children=yes', file];
    const server = await startPostgres({ dir, durability: 'real', settings: all, under });
    return countedServer(server, { out, remove, hasTimescaledb });
  } catch (error) {
    remove();
    throw error;
  }
}

/** @returns whether TimescaleDB is loaded */
async function prepared(
  dir: string,
  prepare: (url: string, hasTimescaledb: boolean) => Promise<void>,
): Promise<boolean> {
  const server = await startPostgres({ dir, durability: 'real', settings });
  try {
    const [loaded] = await ask<{ on: boolean }>(
      server.url,
      `SELECT current_setting('shared_preload_libraries') LIKE '%timescaledb%' AS on`,
    );
    await prepare(server.url, loaded?.on === true);
    // Ends in order: recovery under callgrind would take minutes.
    await ask(server.url, 'CHECKPOINT');
    await server.kill('SIGINT');
    return loaded?.on === true;
  } finally {
    await server.stop();
  }
}

interface Place {
  /** The folder of callgrind's files. */
  readonly out: string;
  readonly hasTimescaledb: boolean;
  remove(): void;
}

function countedServer(server: LocalServer, { out, hasTimescaledb, remove }: Place): CountedServer {
  const { BENCH_PROFILES: keep } = process.env;
  return {
    hasTimescaledb,
    async count(name, work) {
      const url = urlOf(server.url, name);
      const before = await walPosition(url);
      const database = openDatabase({ ...poolOptions, url }, quiet);
      let pid = 0;
      try {
        pid = await database.use(backendOf);
        await work(database);
      } finally {
        await database.close(patientMs);
      }
      const file = join(out, String(pid));
      const instructions = await readCount(file);
      if (keep) copyFileSync(file, join(keep, `${name}.${pid}`));
      return { instructions, walBytes: (await walPosition(url)) - before };
    },
    async close() {
      await server.stop();
      remove();
    },
  };
}

export const poolOptions = {
  tls: null,
  applicationName: 'processor:bench',
  size: 1,
  connectTimeoutMs: patientMs,
  statementTimeoutMs: patientMs,
  lockTimeoutMs: patientMs,
  deadlineMs: patientMs,
};

async function backendOf(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid ?? 0;
}

/** callgrind writes the file when the backend has ended. */
async function readCount(file: string): Promise<number> {
  const giveUpAt = Date.now() + reportMs;
  while (Date.now() < giveUpAt) {
    const count = existsSync(file)
      ? /^totals: (\d+)/m.exec(readFileSync(file, 'utf8'))?.[1]
      : undefined;
    if (count !== undefined) return Number(count);
    await setTimeout(100);
  }
  throw new RangeError(`callgrind wrote no count to ${file} within ${reportMs / 1000} s`);
}

async function walPosition(url: string): Promise<number> {
  const [row] = await ask<{ bytes: number }>(
    url,
    `SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 AS bytes`,
  );
  return row?.bytes ?? Number.NaN;
}

/** The address of another database of the same server. */
export function urlOf(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${database}`;
  return other.href;
}

/** Asks one statement on a connection of its own. */
export async function ask<Row extends pg.QueryResultRow>(
  url: string,
  sql: string,
): Promise<readonly Row[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}
