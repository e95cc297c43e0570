/** An XINFO reply as a map from name to value. */
export type Info = ReadonlyMap<string, unknown>;

export function infoOf(flat: unknown): Info {
  const info = new Map<string, unknown>();
  if (!Array.isArray(flat)) return info;
  for (let i = 0; i + 1 < flat.length; i += 2) info.set(String(flat[i]), flat[i + 1]);
  return info;
}

/** The consumer group of this name in an XINFO GROUPS reply; empty if it is missing. */
export function groupInfoOf(groups: unknown, name: string): Info {
  if (!Array.isArray(groups)) return new Map();
  return groups.map(infoOf).find((group) => group.get('name') === name) ?? new Map();
}

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
