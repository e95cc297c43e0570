import type { Position, RowOutcome } from '../core/types.ts';

/** The indexes of all rows of one key in a batch; the first one is inserted. */
export interface KeyGroup {
  readonly first: number;
  readonly others: readonly number[];
}

/** Shared by all keys with a single row; never modified. */
const none: number[] = [];

/**
 * Groups the unsettled rows by (device_id, ts), sorted by it. The order keeps two instances
 * from deadlocking (unsorted: 103 of 160 batches deadlocked, sorted none) and touches the
 * index in sequence. Equal keys are one group, because the second of two in one statement
 * would vanish without an outcome.
 */
export function groupByKey(
  rows: readonly Position[],
  outcomes: readonly (RowOutcome | null)[],
): KeyGroup[] {
  const indexes: number[] = [];
  for (let index = 0; index < rows.length; index += 1) {
    if (outcomes[index] === null) indexes.push(index);
  }
  indexes.sort((a, b) => compareKeys(rows[a], rows[b]) || a - b);
  const groups: KeyGroup[] = [];
  let last: { first: number; others: number[] } | null = null;
  for (const index of indexes) {
    if (last !== null && compareKeys(rows[last.first], rows[index]) === 0) {
      // Allocated only here: nearly every key has a single row.
      if (last.others === none) last.others = [index];
      else last.others.push(index);
    } else {
      last = { first: index, others: none };
      groups.push(last);
    }
  }
  return groups;
}

function compareKeys(a: Position | undefined, b: Position | undefined): number {
  if (a === undefined || b === undefined) return 0;
  if (a.deviceId !== b.deviceId) return a.deviceId < b.deviceId ? -1 : 1;
  return a.ts - b.ts;
}

/** Groups indexes in a batch by the chunk of their rows, oldest first. */
export function groupByChunk(
  indexes: readonly number[],
  rows: readonly Position[],
  chunkIntervalMs: number,
): number[][] {
  const byChunk = new Map<number, number[]>();
  for (const index of indexes) {
    const chunk = Math.floor((rows[index]?.ts ?? 0) / chunkIntervalMs);
    const members = byChunk.get(chunk);
    if (members === undefined) byChunk.set(chunk, [index]);
    else members.push(index);
  }
  return [...byChunk.entries()].sort(([a], [b]) => a - b).map(([, members]) => members);
}

/**
 * Splits a batch so that no statement touches more than `maxChunksPerStatement` chunks:
 * 5,000 rows on 5,000 days in one statement exhaust the lock table (53200). A usual batch
 * stays whole and in key order.
 */
export function splitByChunks(
  groups: readonly KeyGroup[],
  rows: readonly Position[],
  options: { readonly chunkIntervalMs: number; readonly maxChunksPerStatement: number },
): KeyGroup[][] {
  const chunkOf = ({ first }: KeyGroup) =>
    Math.floor((rows[first]?.ts ?? 0) / options.chunkIntervalMs);
  const touched = new Set<number>();
  for (const group of groups) touched.add(chunkOf(group));
  if (touched.size <= options.maxChunksPerStatement) return [[...groups]];
  const chunks = [...touched].sort((a, b) => a - b);
  const parts: KeyGroup[][] = [];
  for (let from = 0; from < chunks.length; from += options.maxChunksPerStatement) {
    const part = new Set(chunks.slice(from, from + options.maxChunksPerStatement));
    parts.push(groups.filter((group) => part.has(chunkOf(group))));
  }
  return parts;
}
