import { type Redis, ReplyError } from 'ioredis';
import { DependencyError, type Entry, type Rejection } from '../core/types.ts';
import { controlKeys } from './control-keys.ts';
import { moveScript } from './dead-letter-scripts.ts';
import { composeDeadLetter, type DeadLetterOptions } from './dead-letters.ts';
import { asRedisError, isGroupGone } from './redis.ts';
import { createRoundLimit } from './round-limit.ts';

export interface AcknowledgerOptions extends DeadLetterOptions {
  readonly key: string;
  readonly group: string;
  readonly deadLetterKey: string;
  readonly deadLetterMaxEntries: number;
  /** Sum of the lengths of all names and values in the dead-letter stream. */
  readonly deadLetterStreamMaxBytes: number;
}

/** An entry whose records all have an outcome, and its rejections. */
export interface Settled {
  readonly entry: Entry;
  readonly rejections: readonly Rejection[];
}

/** What became of the entries of one round; those of neither list were not tried. */
export interface MoveRound<One extends Settled> {
  readonly moved: readonly One[];
  readonly failed: readonly One[];
  /** Why the first of `failed` failed; null without any. */
  readonly failure: DependencyError | null;
}

export interface Acknowledger {
  /** Acknowledges entries. Safe to repeat with the same entries. @throws DependencyError */
  acknowledge(entries: readonly Entry[]): Promise<void>;
  /**
   * Moves the first entries, as many as one bounded round trip takes, to the dead-letter stream.
   * Safe to repeat with the same entries. @throws what is no DependencyError: a bug
   */
  moveRound<One extends Settled>(settled: readonly One[]): Promise<MoveRound<One>>;
}

/** Ids of moved entries that are remembered: many times what all instances hold. */
const keptMoved = 100_000;
/** Ids in one XACK. */
const maxAcknowledged = 1000;
/** Entries and bytes moved in one round trip. */
const maxMoved = 100;
const maxMovedBytes = 1_048_576;

export function createAcknowledger(
  connected: () => Promise<Redis>,
  options: AcknowledgerOptions,
  now: () => number,
): Acknowledger {
  const { key, group, deadLetterKey } = options;
  const { moved: movedKey, deadLetters: stateKey } = controlKeys(key);
  const limits = {
    acknowledged: createRoundLimit(maxAcknowledged),
    moved: createRoundLimit(maxMoved),
  };

  function roundOf<One extends Settled>(settled: readonly One[]): readonly One[] {
    let bytes = 0;
    const beyond = settled.findIndex(({ entry }, at) => {
      bytes += entry.bytes;
      return at > 0 && (at >= limits.moved.value || bytes > maxMovedBytes);
    });
    return beyond < 0 ? settled : settled.slice(0, beyond);
  }

  function move(redis: Redis, { entry, rejections }: Settled): Promise<unknown> {
    const { deadLetterMaxEntries, deadLetterStreamMaxBytes } = options;
    const bounds = [deadLetterMaxEntries, deadLetterStreamMaxBytes, keptMoved].map(String);
    const letter = composeDeadLetter(entry, rejections, now(), options);
    const keys = [deadLetterKey, stateKey, key, movedKey];
    return redis.eval(moveScript, 4, ...keys, group, entry.id, ...bounds, ...letter);
  }

  async function tryRound<One extends Settled>(round: readonly One[]): Promise<MoveRound<One>> {
    const redis = await connected();
    // Sent together, awaited together; the script itself makes each one atomic.
    const replies = await Promise.allSettled(round.map((one) => move(redis, one)));
    const isMoved = (_: One, at: number) => replies[at]?.status === 'fulfilled';
    const moved = round.filter(isMoved);
    const failed = round.filter((one, at) => !isMoved(one, at));
    const bad = replies.find((reply) => reply.status === 'rejected');
    return { moved, failed, failure: bad === undefined ? null : asMoveError(bad.reason) };
  }

  return {
    async acknowledge(entries) {
      try {
        const redis = await connected();
        for (let from = 0; from < entries.length; ) {
          const ids = entries.slice(from, from + limits.acknowledged.value).map(({ id }) => id);
          await redis.xack(key, group, ...ids);
          limits.acknowledged.succeeded();
          from += ids.length;
        }
      } catch (error) {
        limits.acknowledged.failed(error);
        throw asRedisError(error);
      }
    },
    async moveRound(settled) {
      const round = roundOf(settled);
      try {
        const result = await tryRound(round);
        if (result.failure === null) limits.moved.succeeded();
        else limits.moved.failed(result.failure.cause);
        return result;
      } catch (error) {
        return { moved: [], failed: round, failure: asMoveError(error) };
      }
    },
  };
}

/** The script's own refusals name the command or the key, which is what the operator needs. */
function asMoveError(error: unknown): DependencyError {
  // XACK answers 0 for a group that is gone, only the script says so.
  if (isGroupGone(error)) {
    const message = 'the consumer group is gone; it is recreated';
    return new DependencyError('redis', 'unavailable', 'NOGROUP', message, { cause: error });
  }
  const known = asRedisError(error);
  const text = error instanceof ReplyError && error instanceof Error ? error.message : '';
  const advice = /^(?:NOPERM|WRONGTYPE) (dead letters need .*?)(?: script: .*)?$/.exec(text)?.[1];
  if (advice === undefined) return known;
  const { dependency, kind, code } = known;
  return new DependencyError(dependency, kind, code, advice, { cause: error });
}
