import type { Redis } from 'ioredis';
import type { EntryId } from '../core/types.ts';
import { callRedis } from './redis.ts';

export interface KeeperOptions {
  readonly key: string;
  readonly group: string;
  readonly consumer: string;
}

/**
 * JUSTID sets the idle time back and leaves the delivery count alone. Only what is still ours:
 * an entry that another instance has taken over is not taken back. One that was trimmed is left:
 * XCLAIM would take it out of the pending list, and after a crash nobody would miss it.
 */
const keepScript = `
local kept = 0
for i = 3, #ARGV do
  local own = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #own > 0 and #redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i]) > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    kept = kept + 1
  end
end
return kept`;

/** Ids in one call of the script: about a millisecond of the server's time. */
const keepChunk = 500;

/**
 * Keeps entries claimed that are held for long, such as while the database is down: else another
 * instance would take them for those of a dead one. @returns `keep`, which tells how many were ours
 */
export function createKeeper(
  connected: () => Promise<Redis>,
  { key, group, consumer }: KeeperOptions,
): (ids: readonly EntryId[]) => Promise<number> {
  return async (ids) => {
    return await callRedis(async () => {
      const redis = await connected();
      let kept = 0;
      for (let from = 0; from < ids.length; from += keepChunk) {
        const chunk = ids.slice(from, from + keepChunk);
        kept += Number(await redis.eval(keepScript, 1, key, group, consumer, ...chunk));
      }
      return kept;
    });
  };
}
