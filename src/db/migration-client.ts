import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { Logger } from '../core/types.ts';
import { createPrimarySearch } from './primary.ts';
import { serversOf } from './servers.ts';
import { type SessionOptions, sessionStatement } from './session.ts';

export interface ClientOptions {
  /** One server or a list (`serversOf`), which should bypass a transaction pooler. */
  readonly url: string;
  /** Null: plain text. */
  readonly tls: ConnectionOptions | null;
  /** For each server. */
  readonly connectTimeoutMs: number;
  /** How long one attempt waits for another migration before it backs off. */
  readonly lockTimeoutMs: number;
}

/**
 * Statement timeout of migrations, retention and policies: an index on a large table takes minutes.
 * It replaces the role's own limit, which is meant for queries.
 */
const migrationStatementMs = 3_600_000;

/**
 * Runs `work` on a dedicated connection of the migrating role, and closes it. With a list of servers
 * it leads to the one that takes writes. @throws DependencyError if there is none
 */
export async function withClient<Result>(
  options: ClientOptions,
  log: Logger,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const login = { ...options, applicationName: 'processor-migrate' };
  const events = { log, onChange: () => undefined };
  const server = await createPrimarySearch(serversOf(options.url), login, events).find();
  const client = new pg.Client({
    connectionString: server,
    ssl: options.tls ? { ...options.tls } : false,
    application_name: login.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs,
    keepAlive: true,
  });
  client.on('error', (error) => log.debug({ err: error }, 'migration connection ended'));
  try {
    await client.connect();
    await client.query(sessionStatement(sessionOf(options)));
    return await work(client);
  } finally {
    // Ending the connection rolls back an open transaction.
    await client.end();
  }
}

/** The settings of a migrating session. */
export function sessionOf({ lockTimeoutMs }: Pick<ClientOptions, 'lockTimeoutMs'>): SessionOptions {
  return { statementTimeoutMs: migrationStatementMs, lockTimeoutMs };
}
