import { contentFunction } from './content.ts';
import { idOrder } from './lua.ts';

/**
 * The Lua scripts that write to the dead-letter stream and keep it within its limits.
 *
 * The state key, a hash, counts the entries and bytes of the dead-letter stream up to `counted_to`.
 * Entries after that id (written by another version) are counted in small steps. If all are
 * counted and their number differs from XLEN, another client deleted entries: counting then
 * restarts from the first entry. So the count corrects itself.
 * A size is the sum of the lengths of an entry's names and values.
 */
const accounting = `${idOrder}
local stream, state = KEYS[1], KEYS[2]
local function counter(text) return text and string.match(text, '^%d+$') and tonumber(text) or nil end
local saved = redis.call('HMGET', state, 'entries', 'bytes', 'counted_to', 'dropped_entries', 'dropped_bytes')
local entries, bytes, countedTo = counter(saved[1]), counter(saved[2]), saved[3]
local droppedEntries, droppedBytes = counter(saved[4]) or 0, counter(saved[5]) or 0
local function restart() entries, bytes, countedTo = 0, 0, '0-0' end
if not (entries and bytes and countedTo and string.match(countedTo, '^%d+%-%d+$')) then restart() end
local function sizeOf(fields)
  local size = 0
  for i = 1, #fields do size = size + #fields[i] end
  return size
end
local function countSteps(maxEntries, maxBytes)
  local step = 0
  for _ = 1, maxEntries do
    local found = redis.call('XRANGE', stream, '(' .. countedTo, '+', 'COUNT', 1)[1]
    if not found then return true end
    local size = sizeOf(found[2])
    entries, bytes, countedTo, step = entries + 1, bytes + size, found[1], step + size
    if step > maxBytes then return false end
  end
  return false
end
local function count(maxEntries, maxBytes)
  local length = redis.call('XLEN', stream)
  if entries > length then restart() end
  local complete = countSteps(maxEntries, maxBytes)
  if complete and entries ~= length then
    restart()
    complete = countSteps(maxEntries, maxBytes)
  end
  return complete
end
local function trim(maxEntries, maxBytes, steps)
  local length, step = redis.call('XLEN', stream), 0
  while steps > 0 and step <= 4194304 and length > 1 and (length > maxEntries or bytes > maxBytes) do
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    local size = sizeOf(oldest[2])
    redis.call('XDEL', stream, oldest[1])
    -- An entry after countedTo is not in the counts, even while they include deleted entries.
    if not is_before(countedTo, oldest[1]) then entries, bytes = entries - 1, bytes - size end
    droppedEntries, droppedBytes = droppedEntries + 1, droppedBytes + size
    length, steps, step = length - 1, steps - 1, step + size
  end
end
local function save()
  local function text(number) return string.format('%.0f', number) end
  local now = { text(entries), text(bytes), countedTo, text(droppedEntries), text(droppedBytes) }
  local changed = false
  for i = 1, #now do changed = changed or now[i] ~= saved[i] end
  if changed then
    redis.call('HSET', state, 'entries', now[1], 'bytes', now[2], 'counted_to', now[3],
      'dropped_entries', now[4], 'dropped_bytes', now[5])
  end
end`;

/**
 * Moves one entry: writes its dead letter and acknowledges it in one step, and only while it is
 * still pending, so that neither a crash nor a second instance can lose or duplicate it.
 *
 * A script has no rollback, so everything that may fail is checked before the first write: the
 * permission for every command and the types of all keys. XADD is the first write: where Redis refuses writes (out of
 * memory, a full disk), it refuses this one, and the entry stays pending. (Decision 0031.)
 *
 * An entry that was trimmed while it was held may have left the pending list, and no instance can
 * receive it again: its dead letter is written all the same, unless `moved` has the entry. So it is
 * with an entry that a failover took back. Where the stream has another entry under its id since
 * then, nothing is acknowledged, because the pending id is that of the other entry.
 * A member of `moved` is the id and the content; earlier versions wrote the id only.
 * KEYS dead-letter stream, state, stream, moved; ARGV group, entry id, max entries, max bytes,
 * kept members of moved, content, then the dead letter's names and values. Replies 0 if another
 * instance settled the entry, 1 if this call did, and 2 if another entry has its id.
 */
export const moveScript = `
local needed = {
  { 'XPENDING', KEYS[3], ARGV[1], ARGV[2], ARGV[2], '1' }, { 'XRANGE', KEYS[3], ARGV[2], ARGV[2] },
  { 'XACK', KEYS[3], ARGV[1], ARGV[2] },
  { 'XLEN', KEYS[1] }, { 'XRANGE', KEYS[1], '-', '+' }, { 'XADD', KEYS[1], '*', 'a', 'b' }, { 'XDEL', KEYS[1], '0-1' },
  { 'HMGET', KEYS[2], 'a' }, { 'HSET', KEYS[2], 'a', 'b' },
  { 'ZSCORE', KEYS[4], 'a' }, { 'ZADD', KEYS[4], '0', 'a' }, { 'ZREMRANGEBYRANK', KEYS[4], '0', '0' },
}
for _, command in ipairs(needed) do
  if not redis.acl_check_cmd(unpack(command)) then
    return redis.error_reply('NOPERM dead letters need the command ' .. command[1] .. ' on the key ' .. command[2])
  end
end
${contentFunction}
local pending, wasMoved
local member = ARGV[2] .. ' ' .. ARGV[6]
for at, command in ipairs({ needed[1], needed[4], needed[8], { 'ZSCORE', KEYS[4], member } }) do
  local reply = redis.pcall(unpack(command))
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'WRONGTYPE', 1, true) then return reply end
    return redis.error_reply('WRONGTYPE dead letters need another type of value in the key ' .. command[2])
  end
  if at == 1 then pending = reply end
  if at == 4 then wasMoved = reply end
end
local deliveries = '0'
local found = redis.call('XRANGE', KEYS[3], ARGV[2], ARGV[2])[1]
local is_replaced = found and content_of(found[2]) ~= ARGV[6]
if is_replaced then
  if wasMoved then return 0 end
elseif #pending > 0 then deliveries = string.format('%.0f', pending[1][4])
elseif found or wasMoved or redis.call('ZSCORE', KEYS[4], ARGV[2]) then return 0 end
${accounting}
local complete = count(64, 1048576)
local fields = { 'deliveries', deliveries, unpack(ARGV, 7) }
local id = redis.call('XADD', stream, '*', unpack(fields))
if complete then entries, bytes, countedTo = entries + 1, bytes + sizeOf(fields), id end
trim(tonumber(ARGV[3]), tonumber(ARGV[4]), 1000)
save()
redis.call('ZADD', KEYS[4], string.match(ARGV[2], '%d+'), member)
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - tonumber(ARGV[5]))
if is_replaced then return 2 end
redis.call('XACK', KEYS[3], ARGV[1], ARGV[2])
return 1`;

/**
 * Counts uncounted dead letters and drops the oldest beyond the limits, in a bounded step.
 * KEYS dead-letter stream, state; ARGV max entries, max bytes. Replies entries, bytes counted,
 * 1 when all is counted, dropped entries and bytes in total.
 */
export const watchScript = `${accounting}
local complete = count(1000, 4194304)
trim(tonumber(ARGV[1]), tonumber(ARGV[2]), 1000)
save()
return { redis.call('XLEN', stream), bytes, complete and 1 or 0, droppedEntries, droppedBytes }`;
