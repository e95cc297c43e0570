import type { Redis } from 'ioredis';
import type { EntryId } from '../core/types.ts';
import { controlKeys } from './control-keys.ts';
import { maxEntryId } from './entry-id.ts';
import { luaHelpers } from './lua.ts';
import { unknownServer } from './read-count.ts';
import { parseClaim, type RawEntry, unexpectedReply } from './replies.ts';

/**
 * Starts at 0: entries written before the group existed are data too. Entries trimmed before then
 * count as read, because this group did not lose them. Overwrites the noted progress, which belongs
 * to an earlier group.
 */
const createScript = `${luaHelpers}
local removed = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  if group_named(ARGV[1]) then return 0 end
  local stream = redis.call('XINFO', 'STREAM', KEYS[1])
  removed = field(stream, 'entries-added') - field(stream, 'length')
end
redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM', 'ENTRIESREAD', removed)
note_down(KEYS[2], ARGV[1], ARGV[2], '0-0', removed)
return 1`;

/** Creates stream and group where they are missing. @returns whether it created the group */
export async function createGroup(redis: Redis, key: string, group: string): Promise<boolean> {
  const { counter } = controlKeys(key);
  return (await redis.eval(createScript, 2, key, counter, group, unknownServer)) === 1;
}

const deliveriesScript = `
local counts = {}
for i = 2, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  counts[i - 1] = pending[1] and pending[1][4] or 1
end
return counts`;

/** Reads the delivery counts of pending entries, in the order of `ids`. */
export async function countDeliveries(
  redis: Redis,
  key: string,
  group: string,
  ids: readonly EntryId[],
): Promise<number[]> {
  if (ids.length === 0) return [];
  const reply = await redis.eval(deliveriesScript, 1, key, group, ...ids);
  if (!Array.isArray(reply)) throw unexpectedReply('EVAL');
  return reply.map(Number);
}

/**
 * Claims orphaned entries, which exceed the idle time. Not with XAUTOCLAIM: it drops trimmed entries
 * from the pending list whatever their idle time, including those that a live instance processes
 * (measured on Redis 7.0.15), and they would be reported as lost. An entry that XCLAIM does not
 * return is no longer in the stream: it is lost, and XCLAIM has removed it from the pending list.
 * ARGV group, consumer, idle ms, from, count. Replies next start or '', entries, deliveries, lost.
 */
const claimScript = `
local group, consumer, idle = ARGV[1], ARGV[2], ARGV[3]
local stuck = redis.call('XPENDING', KEYS[1], group, 'IDLE', idle, ARGV[4], '+', ARGV[5])
if #stuck == 0 then return {'', {}, {}, {}} end
local ids, deliveries = {}, {}
for i, pending in ipairs(stuck) do
  ids[i] = pending[1]
  deliveries[pending[1]] = pending[4] + 1
end
local claim = {'XCLAIM', KEYS[1], group, consumer, idle}
for _, id in ipairs(ids) do claim[#claim + 1] = id end
local entries, counts, claimed = {}, {}, {}
for _, entry in ipairs(redis.call(unpack(claim))) do
  if entry and entry[2] then
    entries[#entries + 1] = entry
    counts[#counts + 1] = deliveries[entry[1]]
    claimed[entry[1]] = true
  end
end
local lost = {}
for _, id in ipairs(ids) do
  if not claimed[id] then lost[#lost + 1] = id end
end
local next_start = ''
if #stuck == tonumber(ARGV[5]) and ids[#ids] ~= '${maxEntryId}' then next_start = '(' .. ids[#ids] end
return {next_start, entries, counts, lost}`;

/** The result of one step of a claim scan. */
export interface Claim {
  /** Start of the next step; null at the end of the scan. */
  readonly next: string | null;
  readonly entries: readonly RawEntry[];
  /** Delivery count of each entry, including this delivery. */
  readonly deliveries: readonly number[];
  readonly lost: readonly EntryId[];
}

/** Maximum number of ids in one step: a Lua script unpacks at most about 8,000 words. */
const maxClaim = 1000;

/** Runs one step of a claim scan, starting at `from` ('-' for the first). */
export async function claimStuck(
  redis: Redis,
  options: { key: string; group: string; consumer: string; idleMs: number },
  from: string,
  limit: number,
): Promise<Claim> {
  const { key, group, consumer, idleMs } = options;
  const count = String(Math.min(limit, maxClaim));
  const words = ['1', key, group, consumer, String(idleMs), from, count];
  return parseClaim(await redis.callBuffer('EVAL', claimScript, ...words));
}

/**
 * XGROUP DELCONSUMER drops the pending entries of the consumer with it, for good: looked at and
 * done in one step, so that a consumer that just got an entry is never removed.
 */
const removeIdleScript = `${luaHelpers}
local removed = {}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name = field(consumer, 'name')
  if name ~= ARGV[2] and field(consumer, 'pending') == 0
    and field(consumer, 'idle') >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    removed[#removed + 1] = name
  end
end
return removed`;

/** Removes the consumers that hold nothing and were idle for `idleMs`, but never `self`. */
export async function removeIdleConsumers(
  redis: Redis,
  options: { key: string; group: string; self: string; idleMs: number },
): Promise<string[]> {
  const { key, group, self, idleMs } = options;
  const reply = await redis.eval(removeIdleScript, 1, key, group, self, idleMs);
  if (!Array.isArray(reply)) throw unexpectedReply('EVAL');
  return reply.map(String);
}
