import { controlKeys } from './control-keys.ts';
import { luaHelpers } from './lua.ts';
import { unexpectedReply } from './replies.ts';

/**
 * Counts entries that were trimmed before any consumer received them, each once: it moves the
 * group's ENTRIESREAD past them in the same step, so that no instance counts them again.
 *
 * Redis does not write `entries-read` to its append-only file, nor to replicas (7.0.15): after a
 * restart or a failover it is outdated. So each inspection notes, in the hash KEYS[2], the server
 * (run_id), the last delivered id, and how many entries the group had passed by then. Redis' count is
 * used while the same server runs; on another one it is computed from the note and corrected
 * (decision 0029).
 *
 * `passed` is how many of the entries ever added will not be delivered as new entries: all if the
 * newest was delivered, the removed ones if the oldest entry is after the last delivered one, else
 * counted from the note.
 *
 * A stream whose newest id is before the last delivered one was restored or recreated: its entries
 * up to that id would never be delivered, so the group restarts at 0.
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
-- An operator has reset the group or the stream since.
if noted_id and (is_before(delivered, noted_id) or noted_read > added) then noted_id = nil end
local has_moved = delivered ~= noted_id
local is_trusted = noted_id and noted_server == ARGV[2] and read
  and (read > noted_read or not has_moved and read == noted_read)
-- How many entries after the noted one were trimmed.
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
  -- Too many to count now; counted once all are delivered.
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
    -- Entries delivered since and still pending were not lost undelivered.
    local page = {KEYS[1], ARGV[1], '(' .. noted_id, delivered, beyond}
    lost, kind = beyond - #redis.call('XPENDING', unpack(page)), 'uncertain'
  end
end
if read ~= passed then
  -- Refused while Redis is out of memory; a later inspection finds the loss again.
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
 * The result of an inspection. `entries` is the number that was trimmed undelivered (`trimmed`), the
 * maximum of it (`uncertain`), or the number that is read again (`went_back`).
 */
export type Inspection =
  | { readonly kind: 'whole' | 'no_group' }
  | { readonly kind: 'trimmed' | 'went_back' | 'uncertain'; readonly entries: number };

/** Maximum number of entries that one inspection counts; a read is shorter (READ_COUNT). */
const maxCounted = 20_000;

/** The command that inspects the stream, to be sent directly before a read. */
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
