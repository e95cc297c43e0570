import type { DeviceId } from '../core/types.ts';
import type { QueuedRange, Range } from './ports.ts';

/** Ranges of a device that are nearer to each other than this become one: reading the rows between
 * costs less than another window. */
const MERGE_GAP_MS = 15 * 60_000;

/**
 * Joins ranges of the same device that overlap or nearly do. A larger range is right too: it computes
 * more hops than necessary.
 * @returns by device, oldest first
 */
export function mergeRanges(ranges: readonly QueuedRange[]): Map<DeviceId, Range[]> {
  const byDevice = Map.groupBy(ranges, ({ device }) => device);
  return new Map([...byDevice].map(([device, own]) => [device, mergeOwn(own)]));
}

function mergeOwn(ranges: readonly Range[]): Range[] {
  const merged: Range[] = [];
  for (const { device, since, until, enqueuedAt } of ranges.toSorted(bySince)) {
    const last = merged.at(-1);
    if (last === undefined || since - last.until > MERGE_GAP_MS) {
      merged.push({ device, since, until, enqueuedAt });
      continue;
    }
    merged[merged.length - 1] = {
      ...last,
      until: Math.max(last.until, until),
      enqueuedAt: earlier(last.enqueuedAt, enqueuedAt),
    };
  }
  return merged;
}

function bySince(a: Range, b: Range): number {
  // -Infinity minus -Infinity is not a number.
  return a.since === b.since ? 0 : a.since - b.since;
}

/** Both as the database prints them in UTC, which sorts by time. */
function earlier(one: string, other: string): string {
  return one < other ? one : other;
}

/** Layer n has the n-th range of each device: within a layer, a device has one window. */
export function layersOf(byDevice: ReadonlyMap<DeviceId, readonly Range[]>): Range[][] {
  const depth = Math.max(0, ...[...byDevice.values()].map((ranges) => ranges.length));
  return Array.from({ length: depth }, (_, layer) =>
    [...byDevice.values()].flatMap((ranges) => ranges[layer] ?? []),
  );
}
