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

/** The result of one round. Entries in neither list were not tried. */
export interface MoveRound<One extends Settled> {
  readonly moved: readonly One[];
  readonly failed: readonly One[];
  /** The failure of the first entry in `failed`; null if none failed. */
  readonly failure: DependencyError | null;
}

export interface Acknowledger {
  /** Acknowledges entries. Safe to repeat with the same entries. @throws DependencyError */
  acknowledge(entries: readonly Entry[]): Promise<void>;
  /**
   * Moves the first entries, as many as one bounded round trip takes, to the dead-letter stream.
   * Safe to repeat with the same entries. Throws only on a bug: a DependencyError is in the result.
   */
  moveRound<One extends Settled>(settled: readonly One[]): Promise<MoveRound<One>>;
}

/** Ids of moved entries to remember: many times what all instances hold. */
const maxRememberedMoves = 100_000;
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
    const beyond = settled.findIndex(({ entry }, index) => {
      bytes += entry.bytes;
      return index > 0 && (index >= limits.moved.value || bytes > maxMovedBytes);
    });
    return beyond < 0 ? settled : settled.slice(0, beyond);
  }

  function move(redis: Redis, { entry, rejections }: Settled): Promise<unknown> {
    const { deadLetterMaxEntries, deadLetterStreamMaxBytes } = options;
    const bounds = [deadLetterMaxEntries, deadLetterStreamMaxBytes, maxRememberedMoves].map(String);
    const deadLetter = composeDeadLetter(entry, rejections, now(), options);
    const keys = [deadLetterKey, stateKey, key, movedKey];
    return redis.eval(moveScript, 4, ...keys, group, entry.id, ...bounds, ...deadLetter);
  }

  async function tryRound<One extends Settled>(round: readonly One[]): Promise<MoveRound<One>> {
    const redis = await connected();
    // Sent together, awaited together; the script itself makes each one atomic.
    const replies = await Promise.allSettled(round.map((one) => move(redis, one)));
    const isMoved = (_: One, index: number) => replies[index]?.status === 'fulfilled';
    const moved = round.filter(isMoved);
    const failed = round.filter((one, index) => !isMoved(one, index));
    const rejected = replies.find((reply) => reply.status === 'rejected');
    return { moved, failed, failure: rejected === undefined ? null : asMoveError(rejected.reason) };
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

/** Keeps the script's own message, which names the command or the key that the operator must fix. */
function asMoveError(error: unknown): DependencyError {
  // Only the script reports a missing group: XACK replies 0.
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
