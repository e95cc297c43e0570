import { controlKeys } from './control-keys.ts';
import { luaHelpers } from './lua.ts';
import { unexpectedReply } from './replies.ts';

/**
 * Finds entries that were trimmed before any consumer got them, and counts them once: the group's
 * ENTRIESREAD is moved past them in the same step, so no instance finds them again.
 *
 * Redis does not write `entries-read` to its append-only file, nor to replicas (7.0.15): after a
 * restart or a failover it is that of long ago. So each look notes, in the hash KEYS[2], which
 * server it asked (run_id), the last delivered id, and how many entries the group had passed then.
 * The count of Redis is used while the same server counts; on another server it is computed from
 * the note and set right (decision 0029).
 *
 * `passed` is how many of the entries ever added no consumer will get as new ones any more: all
 * when the newest was delivered, those removed when the oldest entry lies beyond the last
 * delivered one, else counted from the note.
 *
 * A stream whose newest id lies before the last delivered one went back in time: its entries up to
 * that id would never be delivered, so the group starts again at 0.
 * KEYS stream, counter; ARGV group, run_id, maximum number of entries to count.
 */
const inspectScript = `${luaHelpers}
local group = redis.call('EXISTS', KEYS[1]) == 1 and group_named(ARGV[1])
if not group then return {'no_group', 0} end
local stream = redis.call('XINFO', 'STREAM', KEYS[1])
local added, length = field(stream, 'entries-added'), field(stream, 'length')
local newest, delivered = field(stream, 'last-generated-id'), field(group, 'last-delivered-id')
local read, first = field(group, 'entries-read'), field(stream, 'first-entry')
local removed = added - length

if is_before(newest, delivered) then
  local moved = redis.pcall('XGROUP', 'SETID', KEYS[1], ARGV[1], '0', 'ENTRIESREAD', removed)
  if moved.err then return {'whole', 0} end
  note_down(KEYS[2], ARGV[1], ARGV[2], '0-0', removed)
  return {'went_back', length}
end

local note = redis.call('HGET', KEYS[2], ARGV[1]) or ''
local noted_server, noted_id, noted_read = string.match(note, '^(%S+) (%d+-%d+) (%d+)$')
noted_read = tonumber(noted_read)
-- Another hand has set the group or the stream back since.
if noted_id and (is_before(delivered, noted_id) or noted_read > added) then noted_id = nil end
local has_moved = delivered ~= noted_id
local is_trusted = noted_id and noted_server == ARGV[2] and read
  and (read > noted_read or not has_moved and read == noted_read)
-- How many entries behind the noted one were trimmed.
local beyond = noted_id and removed - noted_read

local function count(from, to)
  local counted, limit = 0, tonumber(ARGV[3])
  while counted < limit do
    local page = redis.call('XRANGE', KEYS[1], from, to, 'COUNT', 100)
    counted = counted + #page
    if #page < 100 then return counted end
    from = '(' .. page[100][1]
  end
end
local passed
if newest == delivered or not first then passed = added
elseif is_before(delivered, first[1]) then passed = removed
elseif not noted_id then return {'whole', 0}
elseif is_trusted and beyond <= 0 then passed = read
else
  local from, base = '(' .. noted_id, noted_read
  if beyond > 0 then from, base = '-', removed end
  local counted = count(from, delivered)
  -- Too many to count now: it waits until all is delivered.
  if not counted then
    redis.pcall('HSET', KEYS[2], ARGV[1], '')
    return {'whole', 0}
  end
  passed = base + counted
end

local lost, kind = 0, 'trimmed'
if is_trusted then lost = passed - read
elseif noted_id and beyond > 0 then
  lost = beyond
  if has_moved then
    -- What was delivered since and is still pending was not lost here.
    local page = {KEYS[1], ARGV[1], '(' .. noted_id, delivered, beyond}
    lost, kind = beyond - #redis.call('XPENDING', unpack(page)), 'uncertain'
  end
end
if read ~= passed then
  -- Refused while Redis is out of memory: then it is found again later.
  local moved = redis.pcall('XGROUP', 'SETID', KEYS[1], ARGV[1], delivered, 'ENTRIESREAD', passed)
  if moved.err then return {'whole', 0} end
end
if has_moved or noted_server ~= ARGV[2] or noted_read ~= passed then
  local noted = note_down(KEYS[2], ARGV[1], ARGV[2], delivered, passed)
  if type(noted) == 'table' and noted.err then
    if not string.find(noted.err, 'OOM') then return noted end
    -- Out of memory refuses only a script's first write, so nothing was moved: found again later.
    return {'whole', 0}
  end
end
if lost > 0 then return {kind, lost} end
return {'whole', 0}`;

/**
 * What a look at the stream found. Of `trimmed` and `went_back`, `entries` were trimmed undelivered
 * or are read again; of `uncertain`, at most so many were trimmed undelivered.
 */
export type Inspection =
  | { readonly kind: 'whole' | 'no_group' }
  | { readonly kind: 'trimmed' | 'went_back' | 'uncertain'; readonly entries: number };

/** Entries that one look counts at most; a read is shorter (READ_COUNT). */
const maxCounted = 20_000;

/** The command of the look, to be sent right before a read. */
export function inspectCommand(key: string, group: string, runId: string): [string, ...string[]] {
  const { counter } = controlKeys(key);
  return ['EVAL', inspectScript, '2', key, counter, group, runId, String(maxCounted)];
}

export function parseInspection(reply: unknown): Inspection {
  if (!Array.isArray(reply)) throw unexpectedReply('EVAL');
  const kind = String(reply[0]);
  const entries = Number(reply[1]);
  if (kind === 'trimmed' || kind === 'went_back' || kind === 'uncertain') return { kind, entries };
  if (kind === 'whole' || kind === 'no_group') return { kind };
  throw unexpectedReply('EVAL');
}
