import type { Redis } from 'ioredis';
import type { EntryId } from '../core/types.ts';
import type { ControlKeys } from './control-keys.ts';
import { callRedis } from './redis.ts';

/** Counts, across all instances and restarts, how often an isolated entry crashed the process. */
export interface CrashCounts {
  /**
   * Increments the count before the entry is processed.
   * @returns the new count
   * @throws DependencyError
   */
  increment(id: EntryId): Promise<number>;
  /** Removes the count after the entry was processed. @throws DependencyError */
  clear(id: EntryId): Promise<void>;
}

/** The key expires a week after the last attempt, and with it the counts of trimmed entries. */
const expirySeconds = 7 * 86_400;

/**
 * A count is incremented before the entry is processed and removed afterwards, whatever the
 * outcome, so a count that remains means that the process ended in between.
 */
export function createCrashCounts(connected: () => Promise<Redis>, keys: ControlKeys): CrashCounts {
  return {
    async increment(id) {
      return await callRedis(async () => {
        const redis = await connected();
        const count = await redis.hincrby(keys.suspects, id, 1);
        await redis.expire(keys.suspects, expirySeconds);
        return count;
      });
    },
    async clear(id) {
      await callRedis(async () => {
        await (await connected()).hdel(keys.suspects, id);
      });
    },
  };
}
