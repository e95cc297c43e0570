import type { Logger } from '../core/types.ts';

/** The shards as text, in ranges as READ_SHARDS takes them: `0-3,8`. @param shards in ascending order */
export function formatShards(shards: readonly number[]): string {
  const ranges: { from: number; to: number }[] = [];
  for (const shard of shards) {
    const last = ranges.at(-1);
    if (last !== undefined && shard === last.to + 1) last.to = shard;
    else ranges.push({ from: shard, to: shard });
  }
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}

/** A logger that adds the shard to every line; the same logger without shards. */
export function shardLog(log: Logger, shard: number | null): Logger {
  if (shard === null) return log;
  const adding = (level: keyof Logger) => (fields: object, msg: string) =>
    log[level]({ shard, ...fields }, msg);
  return {
    debug: adding('debug'),
    info: adding('info'),
    warn: adding('warn'),
    error: adding('error'),
  };
}

/**
 * Combines one value of each stream: `show` is called with the values that are known after each change.
 * @returns the function that sets the value of one stream
 */
export function combine<Value>(
  streams: number,
  show: (known: readonly Value[]) => void,
): (index: number, value: Value) => void {
  const values = new Array<Value | undefined>(streams).fill(undefined);
  return (index, value) => {
    values[index] = value;
    show(values.filter((one): one is Value => one !== undefined));
  };
}

/** Maximum different states in one text. */
const shownStates = 4;

/**
 * Combines the states of one part in all shards for the readiness probe: `ok`, or each other state
 * with its shards, those that need a person first.
 */
export function combineStates(states: ReadonlyMap<number, string>): string {
  const found = new Map<string, number[]>();
  for (const [shard, state] of states) {
    if (state !== 'ok') found.set(state, [...(found.get(state) ?? []), shard]);
  }
  if (found.size === 0) return 'ok';
  const worstFirst = [...found].sort(([a], [b]) => rank(a) - rank(b));
  const texts = worstFirst
    .slice(0, shownStates)
    .map(([state, shards]) => `${state} (shards ${formatShards(shards)})`);
  const more = found.size - texts.length;
  return [...texts, ...(more > 0 ? [`${more} other states`] : [])].join('; ');
}

function rank(state: string): number {
  if (state.startsWith('configuration')) return 0;
  return state.startsWith('unavailable') ? 1 : 2;
}
