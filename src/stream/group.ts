import type { Redis } from 'ioredis';
import type { EntryId } from '../core/types.ts';
import { controlKeys } from './control-keys.ts';
import { maxEntryId } from './entry-id.ts';
import { luaHelpers } from './lua.ts';
import { unknownServer } from './read-count.ts';
import { parseClaim, type RawEntry, unexpectedReply } from './replies.ts';

/**
 * From 0: entries written before the group existed are data too. Entries that were trimmed before
 * count as read: they were no loss of this group's. What its looks noted before is of another group.
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

/** Creates stream and group where they are missing. @returns true when the group was made */
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

/** How often each of these pending entries was delivered, in their order. */
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
 * Takes over entries that were idle for long. Not XAUTOCLAIM: on its way it drops trimmed entries
 * from the pending list whatever their idle time, also those that a living instance works on
 * (measured on Redis 7.0.15), and they would be told as lost. What XCLAIM does not answer is no
 * longer in the stream: it is lost, and XCLAIM has taken it out of the pending list.
 * ARGV group, consumer, idle ms, from, count. Answers next place or '', entries, deliveries, lost.
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
local next_place = ''
if #stuck == tonumber(ARGV[5]) and ids[#ids] ~= '${maxEntryId}' then next_place = '(' .. ids[#ids] end
return {next_place, entries, counts, lost}`;

/** What one step of a claim run found. */
export interface Claim {
  /** Where the run goes on; null at its end. */
  readonly next: string | null;
  readonly entries: readonly RawEntry[];
  /** Of each entry, this one included. */
  readonly deliveries: readonly number[];
  readonly lost: readonly EntryId[];
}

/** Most ids in one step: a Lua script unpacks no more than about 8,000 words. */
const maxClaim = 1000;

/** One step of a claim run, from `from` on ('-' for the start). */
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
