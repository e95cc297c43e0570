import { type Redis, ReplyError } from 'ioredis';
import { DependencyError, type Entry, type Rejection } from '../core/types.ts';
import { contentFunction, contentOf } from './content.ts';
import { controlKeys } from './control-keys.ts';
import { moveScript } from './dead-letter-scripts.ts';
import { composeDeadLetter, type DeadLetterOptions } from './dead-letters.ts';
import { historyOf } from './ground.ts';
import { asRedisError, isGroupGone } from './redis.ts';
import { createRoundLimit, type RoundLimit } from './round-limit.ts';

export interface AcknowledgerOptions extends DeadLetterOptions {
  readonly key: string;
  readonly group: string;
  readonly deadLetterKey: string;
  readonly deadLetterMaxEntries: number;
  /** Sum of the lengths of all names and values in the dead-letter stream. */
  readonly deadLetterStreamMaxBytes: number;
}

/** An entry whose records all have an outcome. */
export interface Acknowledged {
  readonly entry: Entry;
  /** Another entry was delivered under its id. */
  readonly isReplaced: boolean;
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

export interface AcknowledgerEvents {
  /** Entries that were not acknowledged, because their ids are those of other entries now. */
  replaced(entries: number): void;
}

export interface Acknowledger {
  /**
   * Acknowledges entries, except those whose id is another entry's since they were read. Safe to
   * repeat with the same entries. @throws DependencyError
   */
  acknowledge(settled: readonly Acknowledged[]): Promise<void>;
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
/** Entries moved in one round trip, or compared in one script. */
const maxInRound = 100;
const maxRoundBytes = 1_048_576;

/**
 * Acknowledges entries that were read from another history of the data set: each id only if the
 * stream has the same content under it, or no entry any more.
 * KEYS stream; ARGV group, then id and content of each. Replies how many ids are another entry's.
 */
const acknowledgeScript = `${contentFunction}
local replaced = 0
for i = 2, #ARGV, 2 do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if found and content_of(found[2]) ~= ARGV[i + 1] then replaced = replaced + 1
  else redis.call('XACK', KEYS[1], ARGV[1], ARGV[i]) end
end
return replaced`;

export function createAcknowledger(
  connected: () => Promise<Redis>,
  options: AcknowledgerOptions,
  now: () => number,
  events: AcknowledgerEvents,
): Acknowledger {
  const { key, group, deadLetterKey } = options;
  const { moved: movedKey, deadLetters: stateKey } = controlKeys(key);
  const limits = {
    acknowledged: createRoundLimit(maxAcknowledged),
    compared: createRoundLimit(maxInRound),
    moved: createRoundLimit(maxInRound),
  };

  async function acknowledgePlainly(redis: Redis, settled: readonly Acknowledged[]): Promise<void> {
    for (let from = 0; from < settled.length; ) {
      const round = settled.slice(from, from + limits.acknowledged.value);
      const ids = round.map(({ entry }) => entry.id);
      await within(limits.acknowledged, () => redis.xack(key, group, ...ids));
      from += ids.length;
    }
  }

  function reportReplaced(entries: number): void {
    if (entries > 0) events.replaced(entries);
  }

  async function compareAndAcknowledge(
    redis: Redis,
    settled: readonly Acknowledged[],
  ): Promise<void> {
    for (let left = settled; left.length > 0; ) {
      const round = roundOf(left, limits.compared);
      const words = round.flatMap(({ entry }) => [entry.id, contentOf(entry.fields.parts())]);
      const send = () => redis.eval(acknowledgeScript, 1, key, group, ...words);
      reportReplaced(Number(await within(limits.compared, send)));
      left = left.slice(round.length);
    }
  }

  function move(redis: Redis, { entry, rejections }: Settled): Promise<unknown> {
    const { deadLetterMaxEntries, deadLetterStreamMaxBytes } = options;
    const bounds = [deadLetterMaxEntries, deadLetterStreamMaxBytes, maxRememberedMoves].map(String);
    const deadLetter = composeDeadLetter(entry, rejections, now(), options);
    const keys = [deadLetterKey, stateKey, key, movedKey];
    const content = contentOf(entry.fields.parts());
    return redis.eval(moveScript, 4, ...keys, group, entry.id, ...bounds, content, ...deadLetter);
  }

  async function tryRound<One extends Settled>(round: readonly One[]): Promise<MoveRound<One>> {
    const redis = await connected();
    // Sent together, awaited together; the script itself makes each one atomic.
    const replies = await Promise.allSettled(round.map((one) => move(redis, one)));
    const isMoved = (_: One, index: number) => replies[index]?.status === 'fulfilled';
    const moved = round.filter(isMoved);
    const failed = round.filter((one, index) => !isMoved(one, index));
    reportReplaced(replies.filter(isReplacedReply).length);
    const rejected = replies.find((reply) => reply.status === 'rejected');
    return { moved, failed, failure: rejected === undefined ? null : asMoveError(rejected.reason) };
  }

  return {
    async acknowledge(settled) {
      try {
        const redis = await connected();
        const history = historyOf(redis);
        const isSame = ({ entry, isReplaced }: Acknowledged) =>
          history !== null && entry.history === history && !isReplaced;
        const same = settled.filter(isSame);
        await acknowledgePlainly(redis, same);
        if (same.length === settled.length) return;
        await compareAndAcknowledge(
          redis,
          settled.filter((one) => !isSame(one)),
        );
      } catch (error) {
        throw asRedisError(error);
      }
    },
    async moveRound(settled) {
      const round = roundOf(settled, limits.moved);
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

/** The first entries, as many as one bounded round trip takes. */
function roundOf<One extends { readonly entry: Entry }>(
  settled: readonly One[],
  limit: RoundLimit,
): readonly One[] {
  let bytes = 0;
  const beyond = settled.findIndex(({ entry }, index) => {
    bytes += entry.bytes;
    return index > 0 && (index >= limit.value || bytes > maxRoundBytes);
  });
  return beyond < 0 ? settled : settled.slice(0, beyond);
}

/** Whether the reply of the move script says that another entry has the id. */
function isReplacedReply(reply: PromiseSettledResult<unknown>): boolean {
  return reply.status === 'fulfilled' && reply.value === 2;
}

async function within(limit: RoundLimit, send: () => Promise<unknown>): Promise<unknown> {
  try {
    const reply = await send();
    limit.succeeded();
    return reply;
  } catch (error) {
    limit.failed(error);
    throw error;
  }
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
