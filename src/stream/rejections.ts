import type { Rejection } from '../core/types.ts';

/** Rejections of one entry that share stage, reason and message. */
export interface RejectionGroup {
  readonly stage: string;
  readonly reason: string;
  readonly message: string;
  /** Record indexes in the packet, as ranges; null when the whole entry is rejected. */
  readonly records: readonly RecordRange[] | null;
  /** Rejections in the group. */
  readonly count: number;
  /** Byte offset of the first rejection, if there is one. */
  readonly offset: number | null;
}

export type RecordRange = readonly [first: number, last: number];

/** Maximum number of groups with distinct messages; with more, messages no longer separate them. */
const maxMessages = 8;
const maxMessageLength = 500;

/**
 * Groups an entry's rejections, in the order of their first records. The closed list of reasons and
 * the 255 records of a packet bound the result, whatever the messages are.
 */
export function groupRejections(rejections: readonly Rejection[]): RejectionGroup[] {
  const groups = groupBy(rejections, ({ message }) => message);
  return groups.length <= maxMessages ? groups : groupBy(rejections, () => '');
}

function groupBy(
  rejections: readonly Rejection[],
  part: (rejection: Rejection) => string,
): RejectionGroup[] {
  const groups = new Map<string, Rejection[]>();
  for (const rejection of rejections) {
    const name = `${rejection.stage} ${rejection.reason} ${rejection.recordIndex === null} ${part(rejection)}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [rejection]);
    else group.push(rejection);
  }
  return [...groups.values()].flatMap(groupOf);
}

function groupOf(rejections: readonly Rejection[]): RejectionGroup[] {
  const [first] = rejections;
  if (first === undefined) return [];
  const { stage, reason, message, offset } = first;
  const indexes = rejections.flatMap(({ recordIndex }) => recordIndex ?? []);
  const records = indexes.length === 0 ? null : rangesOf(indexes);
  const shown = message.slice(0, maxMessageLength);
  return [{ stage, reason, message: shown, records, count: rejections.length, offset }];
}

function rangesOf(indexes: readonly number[]): RecordRange[] {
  const ranges: [number, number][] = [];
  for (const index of indexes.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && index <= last[1] + 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges;
}

/** Formats ranges as `0-4,7`; empty for the whole entry. */
export function rangesText(records: RejectionGroup['records']): string {
  return (records ?? [])
    .map(([first, last]) => (first === last ? String(first) : `${first}-${last}`))
    .join(',');
}

/** Formats the groups as the JSON text of a dead letter. */
export function rejectionsText(groups: readonly RejectionGroup[]): string {
  return JSON.stringify(
    groups.map(({ records, ...group }) => ({
      ...group,
      records: records === null ? null : rangesText(records),
    })),
  );
}

/** Parses the output of `rejectionsText`; null for anything else. */
export function parseRejections(text: string): RejectionGroup[] | null {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
  if (!Array.isArray(found)) return null;
  const groups = found.map(parseGroup);
  return groups.every((group) => group !== null) && groups.length > 0 ? groups : null;
}

function parseGroup(value: unknown): RejectionGroup | null {
  if (typeof value !== 'object' || value === null) return null;
  const parts = new Map<string, unknown>(Object.entries(value));
  const [stage, reason, message] = ['stage', 'reason', 'message'].map((name) => parts.get(name));
  const [count, offset, text] = ['count', 'offset', 'records'].map((name) => parts.get(name));
  if (typeof stage !== 'string' || typeof reason !== 'string') return null;
  if (typeof message !== 'string' || typeof count !== 'number') return null;
  const records = typeof text === 'string' ? parseRanges(text) : null;
  if (records === null && text !== null) return null;
  return { stage, reason, message, records, count, offset: numberOrNull(offset) };
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function parseRanges(text: string): RecordRange[] | null {
  if (!/^\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*$/.test(text)) return null;
  return text.split(',').map((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return [first, last] as const;
  });
}
