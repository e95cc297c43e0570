import type { Redis } from 'ioredis';
import type { EntryId } from '../core/types.ts';
import type { ControlKeys } from './control-keys.ts';
import { callRedis } from './redis.ts';

/** Counts, over the lives of all instances, how often an entry was tried alone and not survived. */
export interface Suspects {
  /** Notes that the entry is about to be tried. @returns how often it was by now. @throws DependencyError */
  enter(id: EntryId): Promise<number>;
  /** Notes that the try was survived. @throws DependencyError */
  leave(id: EntryId): Promise<void>;
}

/** The marks of entries that were since trimmed go with the key, a week after the last try. */
const keptSeconds = 7 * 86_400;

/**
 * A mark is set before the try and taken away after it, whatever its outcome: what stays tells of
 * a process that died in between.
 */
export function createSuspects(connected: () => Promise<Redis>, keys: ControlKeys): Suspects {
  return {
    async enter(id) {
      return await callRedis(async () => {
        const redis = await connected();
        const tries = await redis.hincrby(keys.suspects, id, 1);
        await redis.expire(keys.suspects, keptSeconds);
        return tries;
      });
    },
    async leave(id) {
      await callRedis(async () => {
        await (await connected()).hdel(keys.suspects, id);
      });
    },
  };
}
