import { processHost } from '../config/host.ts';
import { type Config, formatProblems, loadConfig } from '../config/load.ts';
import { DependencyError, type Logger } from '../core/types.ts';
import { type Database, openDatabase } from '../db/pool.ts';
import { createPrimaryFinder } from '../stream/primary-finder.ts';
import { createConnection, openRedis } from '../stream/redis.ts';
import { failureText } from './failure-text.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { type ShardFlags, type Stream, type StreamStore, selectStreams } from './shards.ts';

/** The servers of the service's configuration; each is opened at its first use. */
export interface Stores {
  readonly config: Config;
  /** One for each shard that the command works on; exactly one without STREAM_SHARDS. */
  readonly streams: readonly StreamStore[];
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
 * @param shard the only shard to work on; one that is not read is refused
 * @returns the command's exit code
 */
export async function withStores<Exit extends number = CliExit>(
  io: CliIo,
  command: (stores: Stores) => Promise<Exit | CliExit>,
  { shard }: ShardFlags = {},
): Promise<Exit | CliExit> {
  const loaded = loadConfig(io.env, processHost());
  if (!loaded.ok) {
    io.stderr.write(`${formatProblems(loaded.problems)}\n`);
    return cliExits.failed;
  }
  const streams = selectStreams(loaded.config, shard);
  if ('problem' in streams) {
    io.stderr.write(`processor: ${streams.problem}\n`);
    return cliExits.refused;
  }
  await using releases = new AsyncDisposableStack();
  try {
    return await command(openStores(loaded.config, streams, releases));
  } catch (error) {
    if (!(error instanceof DependencyError)) throw error;
    io.stderr.write(`processor: ${failureText(error)}\n`);
    return cliExits.failed;
  }
}

function openStores(
  config: Config,
  streams: readonly Stream[],
  releases: AsyncDisposableStack,
): Stores {
  const { database: db } = config;
  const pools = new Map<string, Database>();
  const pool = (url: string) => {
    const opened = pools.get(url) ?? openPool(config, url);
    if (!pools.has(url)) releases.defer(() => opened.close(closeGraceMs));
    pools.set(url, opened);
    return opened;
  };
  return {
    config,
    streams: openStreams(config, streams, releases),
    database: () => pool(db.url),
    domainDatabase: () => pool(config.domain.url),
  };
}

/**
 * One connection a stream in a cluster, where each has its own node, and one for all otherwise. Each
 * connects at its first use.
 */
function openStreams(
  config: Config,
  streams: readonly Stream[],
  releases: AsyncDisposableStack,
): readonly StreamStore[] {
  const { redis } = config;
  const primaries = createPrimaryFinder(redis);
  const settings = { ...redis, primaries, connectionName: 'processor:cli' };
  const connect = (key: string) => {
    const open = () => openRedis({ ...settings, key, onReconnect: () => undefined }, silent);
    const connection = createConnection(open, key);
    releases.defer(() => connection.close());
    return connection.ready;
  };
  if (redis.topology.kind === 'cluster') {
    return streams.map((stream) => ({ stream, redis: connect(stream.key) }));
  }
  const shared = joinCalls(connect(config.streams[0].key));
  return streams.map((stream) => ({ stream, redis: shared }));
}

/** A call while another one is under way gets its result: a connection refuses use while it connects. */
function joinCalls<Result>(call: () => Promise<Result>): () => Promise<Result> {
  let running: Promise<Result> | null = null;
  return () => {
    running ??= call().finally(() => {
      running = null;
    });
    return running;
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
