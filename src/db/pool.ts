import { setTimeout } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { Logger } from '../core/types.ts';
import { asDependencyError } from './errors.ts';
import { refuseReadOnly } from './ground.ts';
import { type SessionOptions, sessionStatement } from './session.ts';

const poolSettings = 'SET jit = off; SET timescaledb.enable_runtime_exclusion = off';

export interface PoolOptions extends SessionOptions {
  readonly url: string;
  /** Null: plain text. */
  readonly tls: ConnectionOptions | null;
  readonly applicationName: string;
  readonly size: number;
  readonly connectTimeoutMs: number;
  /** The client gives up after this and throws the connection away: half-open sockets. */
  readonly deadlineMs: number;
  /** Refuses a standby and a read-only database, on each new connection. */
  readonly needsPrimary?: boolean;
}

export interface Database {
  /**
   * Runs `work` on one connection.
   * @throws DependencyError when the database cannot be asked; other errors as `work` threw them.
   */
  use<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result>;
  stats(): { readonly total: number; readonly idle: number; readonly waiting: number };
  /** Ends all connections; no longer than `graceMs` is waited for those still busy. */
  close(graceMs: number): Promise<void>;
}

/**
 * The service's connections. TimescaleDB's exclusion of chunks row by row is off: it took 8 of the
 * 14 µs of comparing a row, and every statement of ours names its time bounds. (Plain PostgreSQL
 * takes the setting too, and makes nothing of it.) Every connection gets the settings of
 * `sessionStatement`.
 */
export function openDatabase(options: PoolOptions, log: Logger): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    ssl: options.tls ? { ...options.tls } : false,
    application_name: options.applicationName,
    max: options.size,
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: options.deadlineMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    idleTimeoutMillis: 60_000,
    onConnect: async (client) => {
      await client.query(`${sessionStatement(options)}; ${poolSettings}`);
      if (options.needsPrimary === true) await refuseReadOnly(client);
    },
  });
  // pg-pool removes its own listener while a client is checked out; without one of ours a
  // connection that the server ends in that time would end the process (pg-pool index.js).
  pool.on('connect', (client) => {
    client.on('error', (error) => log.debug({ err: error }, 'database connection ended'));
  });
  pool.on('error', (error) => log.debug({ err: error }, 'idle database connection ended'));

  async function checkOut(): Promise<pg.PoolClient> {
    try {
      return await pool.connect();
    } catch (error) {
      throw asDependencyError(error);
    }
  }

  return {
    async use(work) {
      const client = await checkOut();
      // A connection is kept when the work was done, a row at fault included, and thrown away
      // when it failed: its state is unknown then (after query_timeout the server may still be
      // running the statement), and a new one finds its way after a failover.
      let broken = false;
      try {
        return await work(client);
      } catch (error) {
        broken = !(error instanceof pg.DatabaseError) || error.severity === 'FATAL';
        throw error;
      } finally {
        client.release(broken);
      }
    },
    stats: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    async close(graceMs) {
      if (pool.ended) return;
      // pool.end() waits for checked-out clients, for ever if need be (node-postgres#2199).
      await Promise.race([pool.end(), setTimeout(graceMs, undefined, { ref: false })]);
    },
  };
}
