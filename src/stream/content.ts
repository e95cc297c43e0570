import { createHash } from 'node:crypto';

/**
 * Lua function for the SHA-1 of an entry's names and values, each after its length; `contentOf`
 * computes the same. It tells entries apart that had one id before and after a failover.
 */
export const contentFunction = `
local function content_of(fields)
  local parts = {}
  for i = 1, #fields do parts[i] = #fields[i] .. ':' .. fields[i] end
  return redis.sha1hex(table.concat(parts))
end`;

/** The SHA-1 of names and values in turn, as `content_of` in Lua computes it. */
export function contentOf(parts: readonly Buffer[]): string {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex');
}
