import { Redis } from 'ioredis';
import { askPostgres } from '../../../tools/servers/ask.ts';
import { freePort } from '../../../tools/servers/ports.ts';
import { eventually } from '../../../tools/service.ts';
import { freshDatabase, freshStream, redisUrl } from '../../setup/database.ts';

/** A stream, a database and a port that no other test has, and the environment that names them. */
export async function openPlace(more: Readonly<Record<string, string>> = {}) {
  const database = await freshDatabase();
  const stream = freshStream();
  const redis = new Redis(redisUrl());
  const port = await freePort();
  const env = {
    REDIS_URL: redisUrl(),
    REDIS_TELEMETRY_STREAM: stream.key,
    REDIS_CONSUMER_GROUP: stream.group,
    POSTGRES_URL: database.url,
    TIMESCALEDB: 'optional',
    CONSUMER_NAME: 'one',
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: String(port),
    ...more,
  };
  return {
    env,
    async untilReady(): Promise<void> {
      await eventually('the service is ready', async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => null);
        return answer?.status === 200 ? true : undefined;
      });
    },
    /** Rows in positions; 0 before the migration. */
    async positions(): Promise<number> {
      const exists = `SELECT to_regclass('positions') IS NOT NULL AS there`;
      const table = await askPostgres<{ there: boolean }>(database.url, exists);
      if (table?.there !== true) return 0;
      const count = 'SELECT count(*)::int AS rows FROM public.positions';
      return (await askPostgres<{ rows: number }>(database.url, count))?.rows ?? 0;
    },
    /** Entries that were read and not acknowledged. */
    async pending(): Promise<number> {
      const [count] = await redis.xpending(stream.key, stream.group);
      return Number(count);
    },
    async close(): Promise<void> {
      await redis.del(stream.key, `${stream.key}:dlq`);
      redis.disconnect();
      await database.drop();
    },
  };
}
