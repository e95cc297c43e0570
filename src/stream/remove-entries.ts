import type { Redis } from 'ioredis';
import { callRedis } from './redis.ts';

/** Ids in one XDEL. */
const removeChunk = 500;

/** Deletes entries by their ids. @returns how many existed @throws DependencyError */
export async function removeEntries(
  redis: Redis,
  key: string,
  ids: readonly string[],
): Promise<number> {
  let removed = 0;
  await callRedis(async () => {
    for (let from = 0; from < ids.length; from += removeChunk) {
      removed += await redis.xdel(key, ...ids.slice(from, from + removeChunk));
    }
  });
  return removed;
}
