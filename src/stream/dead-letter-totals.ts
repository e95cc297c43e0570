import type { Redis } from 'ioredis';
import { controlKeys } from './control-keys.ts';
import { watchScript } from './dead-letter-scripts.ts';
import { callRedis } from './redis.ts';
import { unexpectedReply } from './replies.ts';

/** The dead-letter stream as the state key counts it. */
export interface DeadLetterTotals {
  /** Lengths of all names and values; null while they are not all counted. */
  readonly bytes: number | null;
  /** What the limits dropped since the state key exists. */
  readonly droppedEntries: number;
  readonly droppedBytes: number;
}

export interface DeadLetterLimits {
  readonly key: string;
  readonly deadLetterKey: string;
  readonly deadLetterMaxEntries: number;
  readonly deadLetterStreamMaxBytes: number;
}

/**
 * Counts a bounded part of what is not counted yet and enforces the limits, so that a lowered
 * limit, or entries of another version, need no new dead letter. @throws DependencyError
 */
export async function watchDeadLetters(
  redis: Redis,
  { key, deadLetterKey, deadLetterMaxEntries, deadLetterStreamMaxBytes }: DeadLetterLimits,
): Promise<DeadLetterTotals> {
  return await callRedis(async () => {
    const keys = [deadLetterKey, controlKeys(key).deadLetters];
    const limits = [deadLetterMaxEntries, deadLetterStreamMaxBytes].map(String);
    const reply = await redis.eval(watchScript, 2, ...keys, ...limits);
    if (!Array.isArray(reply)) throw unexpectedReply('EVAL');
    const [, bytes = 0, isComplete, droppedEntries = 0, droppedBytes = 0] = reply.map(Number);
    return { bytes: isComplete === 1 ? bytes : null, droppedEntries, droppedBytes };
  });
}

/** The totals as they were last counted; for commands that change nothing. @throws DependencyError */
export async function readDeadLetterTotals(redis: Redis, key: string): Promise<DeadLetterTotals> {
  return await callRedis(async () => {
    const state = await redis.hgetall(controlKeys(key).deadLetters);
    const counter = (text: string | undefined) => (text === undefined ? null : Number(text));
    return {
      bytes: counter(state.bytes),
      droppedEntries: counter(state.dropped_entries) ?? 0,
      droppedBytes: counter(state.dropped_bytes) ?? 0,
    };
  });
}
