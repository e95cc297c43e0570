import type { ConnectionOptions } from 'node:tls';
import { Redis, ReplyError } from 'ioredis';
import { certificateRefused, DependencyError, type Logger } from '../core/types.ts';
import { RedisAnswer } from './raw-replies.ts';

export interface RedisOptions {
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
      return Math.min(2000, 50 * 2 ** Math.min(attempt, 6)) * (0.5 + Math.random());
    },
    // After a failover the old primary answers READONLY: connect anew.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  client.on('error', (error) => log.debug({ err: error }, 'redis connection error'));
  return client;
}

/**
 * One lasting connection for everything that does not block. Answers the client once it is
 * ready; ioredis connects anew by itself after the first time.
 * @throws DependencyError while it is down
 */
export function createConnection(open: () => Redis): {
  ready(): Promise<Redis>;
  close(): void;
} {
  const client = open();
  /** ioredis tells why it has no connection in an event only. */
  let reason: Error | null = null;
  client.on('error', (error) => {
    reason = error;
  });
  client.on('ready', () => {
    reason = null;
  });
  return {
    async ready() {
      if (client.status === 'ready') return client;
      if (client.status !== 'wait' && client.status !== 'end') {
        if (reason !== null) throw asRedisError(reason);
        const message = `redis connection is ${client.status}`;
        throw new DependencyError('redis', 'unavailable', 'NOT_CONNECTED', message);
      }
      try {
        await client.connect();
        return client;
      } catch (error) {
        throw asRedisError(reason ?? error);
      }
    },
    close: () => client.disconnect(),
  };
}

/** Redis error words that wait for a person. */
const configurationWords = ['WRONGPASS', 'NOAUTH', 'NOPERM', 'WRONGTYPE', 'ERR'];

/** Whatever ioredis threw, as the error the pipeline understands. */
export function asRedisError(error: unknown): DependencyError {
  if (error instanceof DependencyError) return error;
  if (error instanceof TypeError || error instanceof RangeError || !(error instanceof Error)) {
    throw error;
  }
  if (error instanceof ReplyError || error instanceof RedisAnswer) {
    const word = /^[A-Z]+/.exec(error.message)?.[0] ?? 'ERR';
    const kind = configurationWords.includes(word) ? 'configuration' : 'unavailable';
    return new DependencyError('redis', kind, word, `redis answered ${word}`, { cause: error });
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'CONNECTION';
  if (certificateRefused.test(code)) {
    const message = `redis ${code}: its certificate is not trusted: check REDIS_CA_FILE, the host in REDIS_URL and the certificate`;
    return new DependencyError('redis', 'configuration', code, message, { cause: error });
  }
  return new DependencyError('redis', 'unavailable', code, `redis ${code}: retrying`, {
    cause: error,
  });
}

/** True when the group, or the stream with it, is gone. */
export function isGroupGone(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.message.startsWith('NOGROUP') || error.message.startsWith('UNBLOCKED'))
  );
}
