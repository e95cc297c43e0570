/** One flat XINFO reply, name and value in turn, by name. */
export type Info = ReadonlyMap<string, unknown>;

export function infoOf(flat: unknown): Info {
  const info = new Map<string, unknown>();
  if (!Array.isArray(flat)) return info;
  for (let at = 0; at + 1 < flat.length; at += 2) info.set(String(flat[at]), flat[at + 1]);
  return info;
}

/** The consumer group of this name in a reply of XINFO GROUPS; empty where it is not there. */
export function groupInfoOf(groups: unknown, name: string): Info {
  if (!Array.isArray(groups)) return new Map();
  return groups.map(infoOf).find((group) => group.get('name') === name) ?? new Map();
}

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
