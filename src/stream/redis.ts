import { type Redis, ReplyError } from 'ioredis';
import { type BackoffLimits, backoffMs } from '../core/backoff.ts';
import { DependencyError, type Logger } from '../core/types.ts';
import { checkGround, type Ground, isGroundCode } from './ground.ts';
import { asRedisError, callRedis } from './redis-error.ts';
import {
  type ClientOptions,
  openClient,
  type PrimaryFinder,
  type TopologyKind,
} from './topology.ts';

export { asRedisError, callRedis, isGroupGone } from './redis-error.ts';

export interface RedisOptions {
  readonly primaries: PrimaryFinder;
  /** Its slot decides the node in a cluster; all keys of the connection are in that slot. */
  readonly key: string;
  /** Name in CLIENT LIST. */
  readonly connectionName: string;
  readonly connectTimeoutMs: number;
  /** Time limit for a reply; the command then fails. */
  readonly commandTimeoutMs: number;
  readonly onReconnect: () => void;
}

/** Pauses between attempts to reconnect; shorter where another server may already be the primary. */
const reconnectBackoffs: Readonly<Record<TopologyKind, BackoffLimits>> = {
  single: { minMs: 100, maxMs: 2000 },
  sentinel: { minMs: 100, maxMs: 1000 },
  cluster: { minMs: 100, maxMs: 1000 },
};

/** Replies of a server that is no longer the primary of the key: connect again, which finds the other. */
const otherPrimary: Readonly<Record<TopologyKind, RegExp>> = {
  single: /^READONLY/,
  sentinel: /^(READONLY|MASTERDOWN)/,
  cluster: /^(READONLY|MASTERDOWN|MOVED|CLUSTERDOWN)/,
};

/**
 * Opens one connection that reconnects and never queues or resends a command: a command sent while
 * it is down fails immediately, and the caller decides. A resent XREADGROUP would return the
 * next entries and leave those of the lost reply pending unseen (measured on ioredis 6).
 */
export function openRedis(options: RedisOptions, log: Logger): Redis {
  const { kind } = options.primaries.topology;
  const settings: ClientOptions = {
    connectionName: options.connectionName,
    // CLIENT SETINFO would need two more permissions; the connection name identifies the service.
    disableClientInfo: true,
    connectTimeout: options.connectTimeoutMs,
    commandTimeout: options.commandTimeoutMs,
    // Reconnect when nothing is received: behind a gateway that dropped the connection, every command
    // would time out and the connection would never end.
    socketTimeout: options.commandTimeoutMs,
    // RESP2 replies from every server: ioredis flattens the RESP3 map of a generic command.
    protocol: 2,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    lazyConnect: true,
    keepAlive: 10_000,
    retryStrategy: (attempt) => {
      options.onReconnect();
      return backoffMs(attempt, reconnectBackoffs[kind]);
    },
    reconnectOnError: (error) => otherPrimary[kind].test(error.message),
  };
  const client = openClient(options.primaries, options.key, settings, options.onReconnect);
  client.on('error', (error) => log.debug({ err: error }, 'redis connection error'));
  endOnRefusedSelect(client);
  return client;
}

/**
 * Ends a connection whose SELECT was refused. ioredis 6 only emits an event and then uses database 0
 * (redis/event_handler.js). The connection ends before it becomes ready, because an INFO is between.
 */
export function endOnRefusedSelect(client: Redis): void {
  client.on('error', (error) => {
    if (isRefusedSelect(error)) client.stream.destroy();
  });
}

function isRefusedSelect(error: Error): boolean {
  if (!(error instanceof ReplyError) || !('command' in error)) return false;
  const { command } = error;
  const name = typeof command === 'object' && command !== null && 'name' in command && command.name;
  return name === 'select';
}

/** Messages with which ioredis reports an ended connection without its cause. */
const consequence = /^(Connection is closed|Stream isn't writeable)/;

/** Records why the connection failed, which ioredis reports only in an event. @returns the last reason */
export function watchReason(client: Redis): () => Error | null {
  let reason: Error | null = null;
  client.on('error', (error) => {
    if (reason === null || !consequence.test(error.message)) reason = error;
  });
  client.on('ready', () => {
    reason = null;
  });
  return () => reason;
}

/**
 * Connects, and checks that the server is one that the service supports.
 * @param streamKey the stream after which all keys are named; null if unknown
 * @throws DependencyError
 */
export async function connectRedis(client: Redis, streamKey: string | null): Promise<Ground> {
  const reason = watchReason(client);
  try {
    await client.connect();
  } catch (error) {
    throw asRedisError(reason() ?? error);
  }
  return await callRedis(() => checkGround(client, streamKey));
}

/**
 * Creates one persistent connection for all commands that do not block. `ready` returns the client
 * once it is connected to a single primary. ioredis reconnects after the first connection, and every
 * new connection is checked before it is returned.
 * @param onReady called with each new connection, before it is checked
 * @throws DependencyError while it is down
 */
export function createConnection(
  open: () => Redis,
  streamKey: string | null = null,
  onReady: () => void = () => undefined,
): {
  ready(): Promise<Redis>;
  close(): void;
} {
  const client = open();
  const reason = watchReason(client);
  /** The check of the current connection. */
  let check: Promise<Ground> | null = null;
  let wrongGround: DependencyError | null = null;
  // Not only on `ready`, which ioredis emits a moment after the connection counts as ready.
  client.on('close', () => {
    check = null;
  });
  client.on('ready', () => {
    check = null;
    onReady();
  });

  async function checked(): Promise<Redis> {
    check ??= checkGround(client, streamKey);
    try {
      await check;
      wrongGround = null;
      return client;
    } catch (error) {
      check = null;
      const failure = asRedisError(error);
      if (isGroundCode(failure.code)) {
        wrongGround = failure;
        // The address may lead to another server now.
        client.disconnect(true);
      }
      throw failure;
    }
  }

  function notConnected(): DependencyError {
    const cause = reason() ?? wrongGround;
    if (cause !== null) return asRedisError(cause);
    const message = `redis connection is ${client.status}`;
    return new DependencyError('redis', 'unavailable', 'NOT_CONNECTED', message);
  }

  return {
    async ready() {
      if (client.status === 'ready') return await checked();
      if (client.status !== 'wait' && client.status !== 'end') throw notConnected();
      try {
        await client.connect();
      } catch (error) {
        throw asRedisError(reason() ?? error);
      }
      return await checked();
    },
    close: () => client.disconnect(),
  };
}
