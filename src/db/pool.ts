import { setTimeout } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { Logger } from '../core/types.ts';
import { asDependencyError } from './errors.ts';
import { refuseReadOnly } from './ground.ts';
import { createPrimarySearch, type PrimarySearch } from './primary.ts';
import { serversOf } from './servers.ts';
import { type SessionOptions, sessionStatement } from './session.ts';

const poolSettings = 'SET jit = off; SET timescaledb.enable_runtime_exclusion = off';

export interface PoolOptions extends SessionOptions {
  /** One server, or a list of which one takes writes (`serversOf`). */
  readonly url: string;
  /** Null: plain text. */
  readonly tls: ConnectionOptions | null;
  readonly applicationName: string;
  readonly size: number;
  /** For each server. */
  readonly connectTimeoutMs: number;
  /** Time after which the client gives up and discards the connection (half-open sockets). */
  readonly deadlineMs: number;
  /** Whether each new connection refuses a standby and a read-only database. */
  readonly needsPrimary?: boolean;
  /** Another server of the list takes writes than before. */
  readonly onPrimaryChange?: () => void;
}

export interface Database {
  /**
   * Runs `work` on one connection.
   * @throws DependencyError if the database is not available; errors of `work` unchanged
   */
  use<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result>;
  stats(): { readonly total: number; readonly idle: number; readonly waiting: number };
  /** Ends all connections; waits at most `graceMs` for busy ones. */
  close(graceMs: number): Promise<void>;
}

const readOnlyTransaction = '25006';

/**
 * Opens the service's connection pool. Every connection gets the settings of `sessionStatement`, and
 * with a list of servers leads to the one that takes writes.
 * TimescaleDB's runtime chunk exclusion is off: it took 8 of the 14 µs of comparing a row, and every
 * statement of the service bounds the time. Plain PostgreSQL accepts the setting and ignores it.
 */
export function openDatabase(options: PoolOptions, log: Logger): Database {
  const onChange = options.onPrimaryChange ?? (() => undefined);
  const search = createPrimarySearch(serversOf(options.url), options, { log, onChange });
  const { pool, serverOf } = createPool(options, search, log);

  /** A failure to connect may be a failover: with a list the servers are searched once more. */
  async function checkOut(): Promise<pg.PoolClient> {
    for (let mayRetry = true; ; ) {
      const server = await search.find();
      let client: pg.PoolClient;
      try {
        client = await pool.connect();
      } catch (error) {
        // With all connections in use it was the wait for one that timed out.
        const isServer = pool.totalCount < options.size && search.doubt(server);
        if (!isServer || !mayRetry) throw asDependencyError(error);
        mayRetry = false;
        continue;
      }
      if (serverOf(client) === server) return client;
      // Idle since before a failover.
      client.release(true);
    }
  }

  return {
    async use(work) {
      const client = await checkOut();
      let broken = false;
      try {
        return await work(client);
      } catch (error) {
        broken = isBroken(error);
        if (broken) search.doubt(serverOf(client));
        throw error;
      } finally {
        client.release(broken);
      }
    },
    stats: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    async close(graceMs) {
      if (pool.ended) return;
      // pool.end() waits for checked-out clients without a limit (node-postgres#2199).
      await Promise.race([pool.end(), setTimeout(graceMs, undefined, { ref: false })]);
    },
  };
}

/** Creates the pool; `serverOf` returns the server to which a connection leads. */
function createPool(options: PoolOptions, search: PrimarySearch, log: Logger) {
  const servers = new WeakMap<pg.ClientBase, string>();
  const pool = new pg.Pool({
    Client: clientOf(search, servers),
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
  // pg-pool removes its own listener while a client is checked out; without another listener a
  // connection that the server ends then would end the process (pg-pool index.js).
  pool.on('connect', (client) => {
    client.on('error', (error) => log.debug({ err: error }, 'database connection ended'));
  });
  pool.on('error', (error) => log.debug({ err: error }, 'idle database connection ended'));
  return { pool, serverOf: (client: pg.ClientBase) => servers.get(client) ?? '' };
}

/** pg-pool makes its clients of this class; each connects to the server found last. */
function clientOf(
  search: PrimarySearch,
  servers: WeakMap<pg.ClientBase, string>,
): new (
  config?: pg.ClientConfig,
) => pg.Client {
  return class extends pg.Client {
    constructor(config?: pg.ClientConfig) {
      const server = search.latest;
      super({ ...config, connectionString: server });
      servers.set(this, server);
    }
  };
}

/**
 * The connection is kept after a reply of the server, also after a refused row. It is discarded
 * after any other failure: its state is unknown (after query_timeout the server may still run the
 * statement), and a new connection works after a failover. A server that takes no writes any more
 * is a standby now.
 */
function isBroken(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return true;
  return error.severity === 'FATAL' || error.code === readOnlyTransaction;
}
