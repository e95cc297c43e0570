import type { Redis } from 'ioredis';
import type { Entry, EntryId, IdFault } from '../core/types.ts';
import { idFault, rangeAfter } from './entry-id.ts';
import type { GroupPlace } from './group-view.ts';
import { infoOf } from './info.ts';
import { makeEntry } from './make-entry.ts';
import { callRedis } from './redis.ts';
import { unsettledIn } from './replay.ts';
import { parseRange, unexpectedReply } from './replies.ts';

/** Entries of the stream, and which of them the group has not processed. */
export interface Page {
  readonly entries: readonly Entry[];
  readonly undelivered: ReadonlySet<EntryId>;
  readonly pending: ReadonlySet<EntryId>;
}

/** Bounds the memory of one page: an entry may have MAX_ENTRY_BYTES. */
const pageEntries = 200;

/** Reads the entries of an id range, oldest first, one page at a time. @throws DependencyError */
export async function* readRange(
  redis: Redis,
  place: GroupPlace,
  range: { readonly from: string; readonly to: string },
): AsyncGenerator<Page> {
  let { from } = range;
  for (;;) {
    const page = await readPage(redis, place, { from, to: range.to });
    const last = page.entries.at(-1);
    if (last === undefined) return;
    yield page;
    const next = rangeAfter(last.id);
    if (page.entries.length < pageEntries || next === null) return;
    from = next;
  }
}

async function readPage(
  redis: Redis,
  place: GroupPlace,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<Page> {
  return await callRedis(async () => {
    const reply = await redis.xrangeBuffer(place.key, from, to, 'COUNT', pageEntries);
    const entries = parseRange(reply).map(({ id, fields }) => makeEntry(id, fields));
    const ids = entries.map(({ id }) => id);
    return { entries, ...(await unsettledIn(redis, place, ids)) };
  });
}

/** The entries that were removed from the stream. */
export interface TrimmedPart {
  /** All of their ids are below this one. */
  readonly before: string;
  /** Number of entries removed since the stream was created. */
  readonly entries: number;
}

/** Returns what was removed; null if the stream holds every entry ever added. @throws DependencyError */
export async function trimmedPart(redis: Redis, key: string): Promise<TrimmedPart | null> {
  return await callRedis(async () => {
    const reply: unknown = await redis.xinfo('STREAM', key);
    if (!Array.isArray(reply)) throw unexpectedReply('XINFO');
    const stream = infoOf(reply);
    const entries = Number(stream.get('entries-added')) - Number(stream.get('length'));
    if (entries === 0) return null;
    const first = stream.get('first-entry');
    const before = Array.isArray(first) ? first[0] : stream.get('last-generated-id');
    return { before: String(before), entries };
  });
}

/** Why the ids of the oldest and the newest entry are not times. @throws DependencyError */
export async function idFaultsOf(redis: Redis, key: string, nowMs: number): Promise<IdFault[]> {
  return await callRedis(async () => {
    const reply: unknown = await redis.xinfo('STREAM', key);
    const stream = infoOf(reply);
    const first = stream.get('first-entry');
    const ids = [Array.isArray(first) ? first[0] : null, stream.get('last-generated-id')];
    const faults = ids.map((id) => (typeof id === 'string' ? idFault(id, nowMs) : null));
    return [...new Set(faults.filter((fault) => fault !== null))];
  });
}
