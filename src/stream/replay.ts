import type { Redis } from 'ioredis';
import type { EntryId } from '../core/types.ts';
import { compareIds } from './entry-id.ts';
import { groupInfoOf } from './info.ts';
import { callRedis } from './redis.ts';
import { unexpectedReply } from './replies.ts';

/** Adds an entry with these fields, byte for byte. @throws DependencyError */
export async function addEntry(
  redis: Redis,
  key: string,
  fields: readonly (readonly [name: Buffer, value: Buffer])[],
): Promise<EntryId> {
  return await callRedis(async () => {
    const id: unknown = await redis.call('XADD', key, '*', ...fields.flat());
    if (typeof id !== 'string') throw unexpectedReply('XADD');
    // Redis prints its ids.
    return id as EntryId;
  });
}

/** The entries that the group has not processed. */
export interface Unsettled {
  readonly undelivered: ReadonlySet<EntryId>;
  /** Delivered but not acknowledged. */
  readonly pending: ReadonlySet<EntryId>;
}

/** Returns which of these entries the group has not processed. @throws DependencyError */
export async function unsettledIn(
  redis: Redis,
  { key, group }: { readonly key: string; readonly group: string },
  ids: readonly EntryId[],
): Promise<Unsettled> {
  if (ids.length === 0) return { undelivered: new Set(), pending: new Set() };
  return await callRedis(async () => {
    const delivered = await lastDelivered(redis, key, group);
    if (delivered === null) return { undelivered: new Set(ids), pending: new Set() };
    const replies = await redis
      .pipeline(ids.map((id) => ['xpending', key, group, id, id, '1']))
      .exec();
    const pending = ids.filter((_, at) => {
      const [error, found] = replies?.[at] ?? [null, null];
      if (error !== null) throw error;
      return Array.isArray(found) && found.length > 0;
    });
    const undelivered = ids.filter((id) => compareIds(delivered, id) < 0);
    return { undelivered: new Set(undelivered), pending: new Set(pending) };
  });
}

async function lastDelivered(redis: Redis, key: string, group: string): Promise<string | null> {
  const groups: unknown = await redis.xinfo('GROUPS', key);
  if (!Array.isArray(groups)) throw unexpectedReply('XINFO');
  // Without a group nothing is delivered, and XPENDING would fail.
  const id = groupInfoOf(groups, group).get('last-delivered-id');
  return id === undefined ? null : String(id);
}
