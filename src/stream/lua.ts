/**
 * Lua functions for the order of entry ids. They compare digits, because Lua's numbers are exact only
 * up to 2^53 and an id has two parts of 64 bits.
 */
export const idOrder = `
local function is_less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end
local function is_before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  if a_ms ~= b_ms then return is_less(a_ms, b_ms) end
  return is_less(a_seq, b_seq)
end`;

/**
 * Lua helpers for the scripts: a field of a flat XINFO reply, the group of a name, and the order of
 * entry ids.
 */
export const luaHelpers = `
local function field(info, name)
  for i = 1, #info, 2 do if info[i] == name then return info[i + 1] end end
end
local function group_named(name)
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if field(group, 'name') == name then return group end
  end
end
${idOrder}
local function note_down(key, group, server, delivered, read)
  return redis.pcall('HSET', key, group, string.format('%s %s %.0f', server, delivered, read))
end`;
