import type { Redis } from 'ioredis';
import { processHost } from '../config/host.ts';
import { type Config, formatProblems, loadConfig } from '../config/load.ts';
import { DependencyError, type Logger } from '../core/types.ts';
import { type Database, openDatabase } from '../db/pool.ts';
import { scrub } from '../observability/scrub.ts';
import { createPrimaryFinder } from '../stream/primary-finder.ts';
import { createConnection, openRedis } from '../stream/redis.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { printable } from './printable.ts';

/** The servers of the service's configuration; each is opened at its first use. */
export interface Stores {
  readonly config: Config;
  readonly redis: () => Promise<Redis>;
  readonly database: () => Database;
  /** With the login of the domain, DOMAIN_POSTGRES_URL. */
  readonly domainDatabase: () => Database;
}

const closeGraceMs = 1000;
/** Commands report errors themselves. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Runs a command with the configuration of the environment, as the service reads it; what was
 * opened is closed. A configuration or a server that fails ends with one line on stderr.
 * @returns the command's exit code
 */
export async function withStores<Exit extends number = CliExit>(
  io: CliIo,
  command: (stores: Stores) => Promise<Exit | CliExit>,
): Promise<Exit | CliExit> {
  const loaded = loadConfig(io.env, processHost());
  if (!loaded.ok) {
    io.stderr.write(`${formatProblems(loaded.problems)}\n`);
    return cliExits.failed;
  }
  await using releases = new AsyncDisposableStack();
  try {
    return await command(openStores(loaded.config, releases));
  } catch (error) {
    if (!(error instanceof DependencyError)) throw error;
    const cause = error.cause instanceof Error ? ` (${scrub(error.cause.message)})` : '';
    io.stderr.write(`processor: ${printable(`${scrub(error.message)}${cause}`)}\n`);
    return cliExits.failed;
  }
}

function openStores(config: Config, releases: AsyncDisposableStack): Stores {
  const { redis, database: db } = config;
  const primaries = createPrimaryFinder(redis);
  const open = () =>
    openRedis(
      {
        ...redis,
        primaries,
        key: config.stream.key,
        connectionName: 'processor:cli',
        onReconnect: () => undefined,
      },
      silent,
    );
  const connection = createConnection(open, config.stream.key);
  releases.defer(() => connection.close());
  const pools = new Map<string, Database>();
  const pool = (url: string) => {
    const opened = pools.get(url) ?? openPool(config, url);
    if (!pools.has(url)) releases.defer(() => opened.close(closeGraceMs));
    pools.set(url, opened);
    return opened;
  };
  return {
    config,
    redis: connection.ready,
    database: () => pool(db.url),
    domainDatabase: () => pool(config.domain.url),
  };
}

function openPool({ database: db }: Config, url: string): Database {
  return openDatabase(
    {
      url,
      tls: db.tls,
      applicationName: 'processor:cli',
      size: 2,
      connectTimeoutMs: db.connectTimeoutMs,
      statementTimeoutMs: db.statementTimeoutMs,
      lockTimeoutMs: db.lockTimeoutMs,
      deadlineMs: db.insertDeadlineMs,
    },
    silent,
  );
}
