import type { ConnectionOptions } from 'node:tls';
import { Redis, ReplyError } from 'ioredis';
import { backoffMs } from '../core/backoff.ts';
import { DependencyError, type Logger } from '../core/types.ts';
import { checkGround } from './ground.ts';
import { asRedisError, callRedis } from './redis-error.ts';

export { asRedisError, callRedis, isGroupGone } from './redis-error.ts';

export interface RedisOptions {
  /** Its path is the number of the database, selected on each connection before it is used. */
  readonly url: string;
  /** Null: plain text. */
  readonly tls: ConnectionOptions | null;
  /** Visible in CLIENT LIST. */
  readonly connectionName: string;
  readonly connectTimeoutMs: number;
  /** A reply not there by then ends the connection's use for that command. */
  readonly commandTimeoutMs: number;
  readonly onReconnect: () => void;
}

/** Pauses between attempts to reconnect. */
const reconnectBackoff = { minMs: 100, maxMs: 2000 };

/**
 * One connection that reconnects by itself and never queues or resends: a command sent while
 * it is down fails at once, so that the caller decides. A resent XREADGROUP would return the
 * next entries and leave those of the lost reply pending unseen (measured on ioredis 6).
 */
export function openRedis(options: RedisOptions, log: Logger): Redis {
  const client = new Redis(options.url, {
    ...(options.tls && { tls: options.tls }),
    connectionName: options.connectionName,
    // Two commands more that an ACL would have to allow; the name tells who we are.
    disableClientInfo: true,
    connectTimeout: options.connectTimeoutMs,
    commandTimeout: options.commandTimeoutMs,
    // A connection on which nothing comes back is made anew: behind a gateway that forgot it, it
    // would stay silent for ever while each command only times out.
    socketTimeout: options.commandTimeoutMs,
    // The shapes of RESP2, whatever the server: a generic command's RESP3 map comes flattened.
    protocol: 2,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    lazyConnect: true,
    keepAlive: 10_000,
    retryStrategy: (attempt) => {
      options.onReconnect();
      return backoffMs(attempt, reconnectBackoff);
    },
    // After a failover the old primary answers READONLY: connect anew.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  client.on('error', (error) => log.debug({ err: error }, 'redis connection error'));
  endOnRefusedSelect(client);
  return client;
}

/**
 * ioredis 6 emits a refused SELECT as an event and uses the connection for database 0 (redis/
 * event_handler.js). Ended here, it never becomes ready: between SELECT and ready lies an INFO.
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

/** What ioredis says of a connection that has ended, whatever ended it. */
const consequence = /^(Connection is closed|Stream isn't writeable)/;

/** ioredis tells in an event only why it has no connection. @returns the last reason, or null */
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
 * Connects, and makes sure that the server is one the service can work with.
 * @param streamKey the stream all keys are named after; null where it is not known
 * @throws DependencyError
 */
export async function connectRedis(client: Redis, streamKey: string | null): Promise<void> {
  const reason = watchReason(client);
  try {
    await client.connect();
  } catch (error) {
    throw asRedisError(reason() ?? error);
  }
  await callRedis(() => checkGround(client, streamKey));
}

/**
 * One lasting connection for everything that does not block. Answers the client once it is
 * ready and its server is known to be a single primary; ioredis reconnects by itself after the
 * first time, and each new connection is checked before it is handed out.
 * @throws DependencyError while it is down
 */
export function createConnection(
  open: () => Redis,
  streamKey: string | null = null,
): {
  ready(): Promise<Redis>;
  close(): void;
} {
  const client = open();
  const reason = watchReason(client);
  /** Of the present connection. */
  let check: Promise<void> | null = null;
  let wrongGround: DependencyError | null = null;
  client.on('ready', () => {
    check = null;
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
      if (failure.kind === 'configuration') {
        wrongGround = failure;
        // The address may lead to another server by now.
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
