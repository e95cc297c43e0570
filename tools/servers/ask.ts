/** Asks a server whether it is there, by really connecting; the connection is closed again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { ServerError } from './server-error.ts';

/** DROP DATABASE waits for a checkpoint, which took more than 30 s at a load of 20. */
const statementTimeoutMs = 150_000;
const connectTimeoutMs = 2_000;
const pauseMs = 25;

export interface RedisAnswer {
  readonly version: string;
  readonly pid: number;
}

/** Rejects while Redis does not answer or still loads its data. */
export async function askRedis(url: string): Promise<RedisAnswer> {
  const info = await commandRedis(url, 'INFO');
  if (infoField(info, 'loading') !== '0') throw new Error('Redis is loading its data');
  return answerOf(info);
}

/** The same for a Redis Sentinel, which has no data to load. */
export async function askSentinel(url: string): Promise<RedisAnswer> {
  const info = await commandRedis(url, 'INFO');
  if (infoField(info, 'redis_mode') !== 'sentinel') throw new Error('this is not a sentinel');
  return answerOf(info);
}

/** Runs one command on a connection of its own; bounded in time, not repeated. */
export async function commandRedis(
  url: string,
  name: string,
  ...args: readonly (string | number)[]
): Promise<unknown> {
  return await withRedis(url, (redis) => redis.call(name, ...args));
}

/** Opens a connection that neither reconnects nor repeats a command, and closes it afterwards. */
export async function withRedis<Result>(
  url: string,
  use: (redis: Redis) => Promise<Result>,
  commandTimeoutMs = connectTimeoutMs,
): Promise<Result> {
  const redis = new Redis(url, {
    lazyConnect: true,
    protocol: 2,
    connectTimeout: connectTimeoutMs,
    commandTimeout: commandTimeoutMs,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // A failed connection also rejects `connect`; without a listener ioredis prints it.
  redis.on('error', () => {});
  try {
    await redis.connect();
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

function answerOf(info: unknown): RedisAnswer {
  const version = infoField(info, 'redis_version');
  return { version, pid: Number(infoField(info, 'process_id')) };
}

/** A field of what INFO or CLUSTER INFO answers; empty where it is missing. */
export function infoField(info: unknown, name: string): string {
  return String(info).match(new RegExp(`^${name}:(.*?)\\r?$`, 'm'))?.[1] ?? '';
}

/** Runs one statement on a connection of its own; the first row, or undefined. */
export async function askPostgres<Row extends object>(
  url: string,
  statement: string,
  timeoutMs = connectTimeoutMs,
): Promise<Row | undefined> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: statementTimeoutMs,
  });
  // A connection that breaks also rejects the query; unheard, the event would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<Row>(statement);
    return rows[0];
  } finally {
    // The answer or the error above counts, not how the connection ended.
    await client.end().catch(() => {});
  }
}

/**
 * Asks again until there is an answer.
 * @throws ServerError `not_reachable` after `timeoutMs`, with the last failure as its cause.
 */
export async function untilAnswered<Answer>(
  what: string,
  ask: () => Promise<Answer>,
  timeoutMs: number,
): Promise<Answer> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() > deadline) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new ServerError('not_reachable', `${what} does not answer: ${reason}`, {
          cause: error,
        });
      }
    }
    await sleep(pauseMs);
  }
}
