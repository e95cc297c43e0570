import type { Redis } from 'ioredis';
import { DependencyError, type Entry, type Rejection } from '../core/types.ts';
import { controlKeys } from './control-keys.ts';
import { composeLetter, type LetterOptions } from './dead-letters.ts';
import { asRedisError, isGroupGone } from './redis.ts';

export interface AcknowledgerOptions extends LetterOptions {
  readonly key: string;
  readonly group: string;
  readonly deadLetterKey: string;
  readonly deadLetterMaxEntries: number;
}

/** An entry whose records all have an outcome, and what of it is to be dead-lettered. */
export interface Settled {
  readonly entry: Entry;
  readonly rejections: readonly Rejection[];
}

export interface Acknowledger {
  /** Safe to repeat with the same entries. @throws DependencyError */
  acknowledge(settled: readonly Settled[]): Promise<void>;
}

/**
 * Moves one entry: its letters are written and it is acknowledged in one step, and only while
 * it is still pending, so neither a crash nor a second instance can lose or double it. The
 * letters come first: when Redis is out of memory the first XADD is refused before anything
 * was changed, and the entry stays pending. (Decision 0004.)
 * An entry that was trimmed while we held it may have left the pending list, and nobody can be
 * given it again: its letters are written all the same, unless it was moved before.
 * KEYS stream, dead-letter stream, moved; ARGV group, id, cap, kept, then per letter: item
 * count, items.
 */
const moveScript = `
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
local deliveries = 0
if #pending > 0 then deliveries = pending[1][4]
elseif #redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2]) > 0 then return 0
elseif redis.call('ZSCORE', KEYS[3], ARGV[2]) then return 0 end
local at = 5
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'deliveries', deliveries,
    unpack(ARGV, at + 1, at + count))
  at = at + count + 1
end
redis.call('ZADD', KEYS[3], string.match(ARGV[2], '%d+'), ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[4]))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return 1`;

/** Ids of moved entries that are remembered: many times what all instances hold. */
const keptMoved = 100_000;
/** Ids in one XACK. */
const acknowledgeChunk = 1000;
/** Entries moved in one round trip. */
const moveChunk = 100;

export function createAcknowledger(
  connected: () => Promise<Redis>,
  options: AcknowledgerOptions,
  now: () => number,
): Acknowledger {
  const { key, group, deadLetterKey, deadLetterMaxEntries } = options;
  const { moved } = controlKeys(key);

  async function acknowledgePlain(redis: Redis, settled: readonly Settled[]): Promise<void> {
    for (let from = 0; from < settled.length; from += acknowledgeChunk) {
      const ids = settled.slice(from, from + acknowledgeChunk).map(({ entry }) => entry.id);
      await redis.xack(key, group, ...ids);
    }
  }

  function moveArguments({ entry, rejections }: Settled): (string | Buffer)[] {
    const letters = rejections.map((rejection) => composeLetter(entry, rejection, now(), options));
    return [
      ...[group, entry.id, String(deadLetterMaxEntries), String(keptMoved)],
      ...letters.flatMap((letter) => [String(letter.length), ...letter]),
    ];
  }

  async function move(redis: Redis, settled: readonly Settled[]): Promise<void> {
    for (let from = 0; from < settled.length; from += moveChunk) {
      const chunk = settled.slice(from, from + moveChunk);
      // Sent together, awaited together; the script itself makes each one atomic.
      const moves = chunk.map((one) =>
        redis.eval(moveScript, 3, key, deadLetterKey, moved, ...moveArguments(one)),
      );
      const failed = (await Promise.allSettled(moves)).find(
        (result) => result.status === 'rejected',
      );
      if (failed !== undefined) throw failed.reason;
    }
  }

  return {
    async acknowledge(settled) {
      try {
        const redis = await connected();
        await acknowledgePlain(
          redis,
          settled.filter(({ rejections }) => rejections.length === 0),
        );
        await move(
          redis,
          settled.filter(({ rejections }) => rejections.length > 0),
        );
      } catch (error) {
        // XACK answers 0 for a group that is gone, only the script says so.
        if (isGroupGone(error)) {
          throw new DependencyError(
            'redis',
            'unavailable',
            'NOGROUP',
            'the consumer group is gone; the reader makes it anew',
            { cause: error },
          );
        }
        throw asRedisError(error);
      }
    },
  };
}
