/** Asks a server whether it is there, by really connecting; the connection is closed again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { ServerError } from './server-error.ts';

const connectTimeoutMs = 2_000;
const pauseMs = 25;

export interface RedisAnswer {
  readonly version: string;
  readonly pid: number;
}

/** Rejects while Redis does not answer or still loads its data. */
export async function askRedis(url: string): Promise<RedisAnswer> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: connectTimeoutMs,
    commandTimeout: connectTimeoutMs,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // A failed connection also rejects `connect`; without a listener ioredis prints it.
  redis.on('error', () => {});
  try {
    await redis.connect();
    const info = await redis.info();
    if (field(info, 'loading') !== '0') throw new Error('Redis is loading its data');
    return { version: field(info, 'redis_version'), pid: Number(field(info, 'process_id')) };
  } finally {
    redis.disconnect();
  }
}

function field(info: string, name: string): string {
  return info.match(new RegExp(`^${name}:(.*?)\\r?$`, 'm'))?.[1] ?? '';
}

/** Runs one statement on a connection of its own; the first row, or undefined. */
export async function askPostgres<Row extends object>(
  url: string,
  statement: string,
): Promise<Row | undefined> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: 30_000,
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
