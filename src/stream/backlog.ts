import type { Redis } from 'ioredis';
import type { IdFault } from '../core/types.ts';
import { compareIds, entryTimeMs, idFault, rangeAfter } from './entry-id.ts';
import { type Info, numberOf } from './info.ts';
import { type Progress, viewReadProgress } from './read-count.ts';
import { callRedis } from './redis.ts';

/** Size and age of what the stream and the group hold; null where a value cannot be determined. */
export interface Backlog {
  readonly length: number;
  readonly neverWritten: boolean;
  /** Undelivered entries; null if Redis does not know their number and counting would be unbounded. */
  readonly lag: number | null;
  /** Age of the oldest undelivered entry in milliseconds; 0 without lag, null where ids are not times. */
  readonly lagAgeMs: number | null;
  readonly pending: number;
  /** Null where ids are not times. */
  readonly pendingOldestMs: number | null;
  /** Why an id is not a time: the newest one, or the oldest undelivered or pending one. */
  readonly idFault: IdFault | null;
  readonly deadLetters: number;
  readonly deadLetterOldestMs: number;
}

export interface BacklogOptions {
  readonly key: string;
  readonly group: string;
  readonly deadLetterKey: string;
}

/** Maximum number of undelivered entries to count when Redis does not know. */
const maxCounted = 10_000;
/** Below this lag, entries are always counted: it is cheap, and Redis' own number may be wrong. */
const alwaysCounted = 1000;

/**
 * Samples lag and pending entries. Redis' own `lag` is wrong after trimming (7.0.15: 4 where
 * 2 were left) and after a restart. So a short lag is counted, and a long one is computed from the
 * progress that each inspection before a read notes; it is null until the first one after a restart.
 * @throws DependencyError
 */
export async function sampleBacklog(
  redis: Redis,
  options: BacklogOptions,
  nowMs: number,
): Promise<Backlog> {
  return await callRedis(async () => {
    const progress = await viewReadProgress(redis, options);
    const { stream } = progress;
    const undelivered = await countUndelivered(redis, options.key, progress);
    const pending = await redis.call('XPENDING', options.key, options.group);
    const oldestPending = Array.isArray(pending) ? pending[1] : null;
    const deadLetters = await redis.xlen(options.deadLetterKey);
    const oldestDeadLetter =
      deadLetters === 0
        ? null
        : firstId(await redis.xrange(options.deadLetterKey, '-', '+', 'COUNT', 1));
    return {
      length: numberOf(stream.get('length')) ?? 0,
      neverWritten: stream.get('last-generated-id') === '0-0',
      lag: undelivered.count,
      lagAgeMs: ageOf(undelivered.oldest, nowMs),
      pending: Array.isArray(pending) ? (numberOf(pending[0]) ?? 0) : 0,
      pendingOldestMs: ageOf(oldestPending, nowMs),
      idFault: faultOf([stream.get('last-generated-id'), undelivered.oldest, oldestPending], nowMs),
      deadLetters,
      deadLetterOldestMs: ageOf(oldestDeadLetter, nowMs) ?? 0,
    };
  });
}

async function countUndelivered(
  redis: Redis,
  key: string,
  { stream, group, read }: Progress,
): Promise<{ count: number | null; oldest: unknown }> {
  const length = numberOf(stream.get('length')) ?? 0;
  const delivered = String(group.get('last-delivered-id') ?? '0-0');
  const from = rangeAfter(delivered);
  if (from === null) return { count: 0, oldest: null };
  const next = firstId(await redis.xrange(key, from, '+', 'COUNT', 1));
  if (next === null) return { count: 0, oldest: null };
  const first = firstId(await redis.xrange(key, '-', '+', 'COUNT', 1));
  if (first === next) return { count: length, oldest: next };
  const lag = lagOf(stream, delivered, read);
  // At least one entry of the stream was delivered, so not all of them can lie ahead.
  const canBeRight = lag !== null && lag < length;
  if (canBeRight && lag > alwaysCounted) return { count: lag, oldest: next };
  const ahead = await redis.xrange(key, from, '+', 'COUNT', maxCounted);
  return { count: ahead.length < maxCounted ? ahead.length : null, oldest: next };
}

/** Null if undelivered entries were deleted, or if the number of read entries is uncertain. */
function lagOf(stream: Info, delivered: string, read: number | null): number | null {
  const added = numberOf(stream.get('entries-added'));
  const deleted = String(stream.get('max-deleted-entry-id') ?? '0-0');
  if (added === null || read === null || compareIds(deleted, delivered) > 0) return null;
  return Math.max(0, added - read);
}

function firstId(entries: [string, string[]][]): string | null {
  return entries[0]?.[0] ?? null;
}

function ageOf(id: unknown, nowMs: number): number | null {
  if (typeof id !== 'string') return id === null ? 0 : null;
  const ms = entryTimeMs(id, nowMs);
  return ms === null ? null : Math.max(0, nowMs - ms);
}

function faultOf(ids: readonly unknown[], nowMs: number): IdFault | null {
  for (const id of ids) {
    const fault = typeof id === 'string' ? idFault(id, nowMs) : null;
    if (fault !== null) return fault;
  }
  return null;
}
