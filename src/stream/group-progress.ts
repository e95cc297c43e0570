import type { Redis } from 'ioredis';
import { compareIds } from './entry-id.ts';
import { type ConsumerView, consumersOf, type GroupPlace } from './group-view.ts';
import { groupInfoOf, infoOf, numberOf } from './info.ts';
import { certainRead } from './read-count.ts';
import { callRedis } from './redis.ts';
import { unexpectedReply } from './replies.ts';

/** Progress of the group at one moment, from one round trip. */
export interface GroupProgress {
  /** Entries ever added and ever read; null where Redis does not know. */
  readonly added: number | null;
  readonly read: number | null;
  readonly length: number;
  /** The oldest entry that is still in the stream; null while the stream is empty. */
  readonly firstId: string | null;
  /** The newest entry that was ever added; 0-0 before the first. */
  readonly lastId: string;
  /** The newest entry that was delivered to any consumer; 0-0 before the first. */
  readonly deliveredId: string;
  readonly consumers: readonly ConsumerView[];
  /** The sum over the consumers, so that both always agree. */
  readonly pending: number;
  readonly oldestPendingId: string | null;
  /** Time since the claim on the longest unclaimed pending entry was renewed; 0 below the limit. */
  readonly unclaimedMs: number;
}

/** The progress, or what is missing before the first start of a service. */
export type Progress =
  | { readonly kind: 'no_stream' | 'no_group' }
  | { readonly kind: 'there'; readonly value: GroupProgress };

/**
 * Reads the progress of stream and group; changes nothing.
 * @param idleLimitMs minimum idle time of a pending entry that `unclaimedMs` considers
 * @throws DependencyError
 */
export async function viewProgress(
  redis: Redis,
  { key, group }: GroupPlace,
  idleLimitMs: number,
): Promise<Progress> {
  return await callRedis(async () => {
    const replies = await redis
      .pipeline([
        ['xinfo', 'STREAM', key],
        ['xinfo', 'GROUPS', key],
        ['xinfo', 'CONSUMERS', key, group],
        ['xpending', key, group],
        ['xpending', key, group, 'IDLE', idleLimitMs, '-', '+', 1],
      ])
      .exec();
    const [stream, groups, ...ofGroup] = replies ?? [];
    if (stream?.[0]?.message.includes('no such key')) return { kind: 'no_stream' };
    const found = groupInfoOf(replyOf(groups), group);
    if (found.size === 0) return { kind: 'no_group' };
    const [consumers, summary, unclaimed] = ofGroup.map(replyOf);
    const progress = progressOf(infoOf(replyOf(stream)), found, consumers, summary, unclaimed);
    return { kind: 'there', value: { ...progress, read: await certainRead(redis, key, found) } };
  });
}

function replyOf(answer: readonly [error: Error | null, result: unknown] | undefined): unknown {
  if (answer === undefined) throw unexpectedReply('XINFO');
  const [error, result] = answer;
  if (error !== null) throw error;
  return result;
}

function progressOf(
  stream: ReadonlyMap<string, unknown>,
  group: ReadonlyMap<string, unknown>,
  consumerReply: unknown,
  summary: unknown,
  unclaimed: unknown,
): Omit<GroupProgress, 'read'> {
  const consumers = consumersOf(consumerReply);
  const first: unknown = stream.get('first-entry');
  const oldest: unknown = Array.isArray(summary) ? summary[1] : null;
  const [stuck]: unknown[] = Array.isArray(unclaimed) ? unclaimed : [];
  return {
    added: numberOf(stream.get('entries-added')),
    length: numberOf(stream.get('length')) ?? 0,
    firstId: Array.isArray(first) ? String(first[0]) : null,
    lastId: String(stream.get('last-generated-id') ?? '0-0'),
    deliveredId: String(group.get('last-delivered-id') ?? '0-0'),
    consumers,
    pending: consumers.reduce((sum, { pending }) => sum + pending, 0),
    oldestPendingId: typeof oldest === 'string' ? oldest : null,
    unclaimedMs: Array.isArray(stuck) ? Number(stuck[2]) : 0,
  };
}

/** Whether every entry left in the stream is unread, so that the next trim loses entries. */
export function isTrimReached({ firstId, lastId, deliveredId }: GroupProgress): boolean {
  return compareIds(deliveredId, firstId ?? lastId) < 0;
}

/**
 * Number of entries that were trimmed before any consumer read them and that no instance has counted
 * yet, by the rule of decision 0017.
 */
export function uncountedLoss(progress: GroupProgress): number {
  const { added, read, length } = progress;
  if (added === null || read === null || !isTrimReached(progress)) return 0;
  return Math.max(0, added - length - read);
}
