import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { checkGround } from '../stream/ground.ts';
import { endOnRefusedSelect, watchReason } from '../stream/redis.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** After it the sender replaces the connection and sends the entry again under its id. */
const COMMAND_TIMEOUT_MS = 5_000;

export interface SimulateRedis {
  readonly redisUrl: string;
  /** Null: plain text. */
  readonly redisTls: ConnectionOptions | null;
}

/** @throws when Redis cannot be reached, or is no single primary */
export async function checkServer(
  { open, reason }: ReturnType<typeof openConnections>,
  stream: string,
): Promise<void> {
  const redis = open();
  try {
    await redis.connect().catch((cause) => {
      const message = `no connection to Redis: ${reason()}; are REDIS_URL and its password right?`;
      throw new Error(message, { cause });
    });
    await checkGround(redis, stream);
  } finally {
    redis.disconnect();
  }
}

/** Opens connections to the Redis of the options, and keeps the reason of the last failure. */
export function openConnections({ redisUrl, redisTls }: SimulateRedis) {
  // The rejection of a connect only says that it is closed; an event says why.
  let reasonOf: () => Error | null = () => null;
  return {
    reason: () => reasonOf()?.message ?? 'no answer',
    open(): Redis {
      const redis = new Redis(redisUrl, {
        ...(redisTls && { tls: redisTls }),
        connectionName: 'processor:simulate',
        connectTimeout: CONNECT_TIMEOUT_MS,
        commandTimeout: COMMAND_TIMEOUT_MS,
        lazyConnect: true,
        enableOfflineQueue: false,
        // Two commands more that an ACL would have to allow.
        disableClientInfo: true,
        protocol: 2,
        // The sender resends, because only it knows under which id.
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        retryStrategy: () => null,
      });
      endOnRefusedSelect(redis);
      reasonOf = watchReason(redis);
      return redis;
    },
  };
}
