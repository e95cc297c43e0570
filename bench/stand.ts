import { Redis } from 'ioredis';
import pg from 'pg';
import { type Migration, migrate, readMigrations } from '../src/db/migrator.ts';
import { startPostgres, startRedis } from '../tools/servers/servers.ts';
import type { Load } from './rows.ts';

/** The servers that all cases of one run share. */
export interface Stand {
  readonly redisUrl: string;
  readonly redis: Redis;
  /** TimescaleDB's version; null on a plain PostgreSQL. */
  readonly timescaledb: string | null;
  readonly postgres: string;
  /**
   * A migrated database of its own, empty, its chunks not made; the one before is dropped.
   * @param migrations those to apply, by default all of this checkout
   */
  freshTable(
    policies?: { readonly columnstoreAfterMs: number | null },
    migrations?: readonly Migration[],
  ): Promise<string>;
  /** Empties Redis and adds the entries of the load. @returns their ids when asked for */
  fill(load: Load, count?: number): Promise<void>;
  add(load: Load, from: number, count: number): Promise<void>;
  close(): Promise<void>;
}

export const streamKey = 'bench';
const inPipeline = 1000;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** Starts servers of its own, or takes BENCH_REDIS_URL and BENCH_DATABASE_URL. */
export async function openStand(): Promise<Stand> {
  const { BENCH_REDIS_URL: givenRedis, BENCH_DATABASE_URL: givenDatabase } = process.env;
  const redisServer = givenRedis ? null : await startRedis({ durability: 'real' });
  const settings = { shared_buffers: '512MB', max_wal_size: '8GB', track_commit_timestamp: 'on' };
  const postgres = givenDatabase ? null : await startPostgres({ durability: 'real', settings });
  const redisUrl = givenRedis ?? redisServer?.url ?? '';
  const databaseUrl = givenDatabase ?? postgres?.url ?? '';
  const redis = new Redis(redisUrl);

  async function ask(sql: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client(databaseUrl);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  const offered = await ask(
    `SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'
     AND current_setting('shared_preload_libraries') LIKE '%timescaledb%'`,
  );
  const server = await ask('SHOW server_version');

  async function add(load: Load, from: number, count: number): Promise<void> {
    for (let at = from; at < from + count; at += inPipeline) {
      const pipeline = redis.pipeline();
      for (const fields of load.entries.slice(at, Math.min(at + inPipeline, from + count))) {
        pipeline.call('XADD', streamKey, '*', ...fields);
      }
      await pipeline.exec();
    }
  }

  return {
    redisUrl,
    redis,
    timescaledb: offered[0] === undefined ? null : String(offered[0].default_version),
    postgres: String(server[0]?.server_version),
    async freshTable({ columnstoreAfterMs } = { columnstoreAfterMs: null }, given) {
      await ask('DROP DATABASE IF EXISTS processor_bench WITH (FORCE)');
      await ask('CREATE DATABASE processor_bench');
      await ask('CHECKPOINT');
      const url = new URL(databaseUrl);
      url.pathname = '/processor_bench';
      const migrations =
        given ?? (await readMigrations(new URL('../migrations/', import.meta.url)));
      const limits = { connectTimeoutMs: 5000, lockTimeoutMs: 5000, migrationLockTimeoutMs: 5000 };
      const storage = { timescaledb: 'optional', chunkIntervalMs: 86_400_000 } as const;
      const policies = { columnstoreAfterMs, retentionMs: null, aggregates: false };
      const domain = { enabled: false, recomputeHorizonMs: 0 };
      await migrate(
        migrations,
        { url: url.href, tls: null, mode: 'auto', ...limits, ...storage, ...policies, domain },
        quiet,
      );
      return url.href;
    },
    async fill(load, count = load.entries.length) {
      await redis.flushall();
      await add(load, 0, count);
    },
    add,
    async close() {
      redis.disconnect();
      await redisServer?.stop();
      await postgres?.stop();
    },
  };
}
