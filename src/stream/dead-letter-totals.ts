import type { Redis } from 'ioredis';
import { controlKeys } from './control-keys.ts';
import { watchScript } from './dead-letter-scripts.ts';
import { callRedis } from './redis.ts';
import { unexpectedReply } from './replies.ts';

/** Size of the dead-letter stream and drops from it, as the state key counts them. */
export interface DeadLetterTotals {
  /** Sum of the lengths of all names and values; null until all are counted. */
  readonly bytes: number | null;
  /** Entries that the limits dropped since the state key was created. */
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
 * Counts a bounded number of uncounted dead letters and enforces the limits. So a lowered limit, or
 * entries of another version, take effect without a new dead letter. @throws DependencyError
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

/** Reads the totals as they were last counted; changes nothing. @throws DependencyError */
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
