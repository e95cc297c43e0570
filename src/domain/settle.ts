import type { DeviceId } from '../core/types.ts';
import { type BatchContext, keysOf } from './batch-context.ts';
import { liveCrossings } from './live-crossings.ts';
import type { FixPage, Range } from './ports.ts';
import { extend, type Reconciliation, type Unsettled } from './recompute.ts';
import type { LiveCrossing } from './types.ts';

/** An evaluation that goes on to the right of its window. */
export interface Open {
  readonly range: Range;
  readonly unsettled: Unsettled;
  /** Positions up to here were read. */
  readonly cursor: number;
}

/** Crossings as they were live before the batch; more are added as they are read. */
export type LiveByDevice = Map<DeviceId, LiveCrossing[]>;

/** Pages grow from the first, because most evaluations settle within a few fixes. */
const FIRST_PAGE = 50;
const GROWTH = 4;

export type Settled = Pick<Reconciliation, 'insert' | 'supersede'>;

/**
 * Continues evaluations until their state is the one that later crossings follow from. What the limit
 * leaves unsettled is computed again from there to the end: nothing tells later how far it reaches.
 */
export async function settle(
  start: readonly Open[],
  live: LiveByDevice,
  context: BatchContext,
): Promise<{ readonly results: readonly Settled[]; readonly rest: readonly Range[] }> {
  const results: Settled[] = [];
  let open = start;
  let left = context.options.limits.extensionRows;
  for (let size = FIRST_PAGE; open.length > 0 && left > 0; size *= GROWTH) {
    const { limit, groups } = groupOpen(open, size, left, context);
    const pages = await readPages(groups, limit, live, context);
    left -= pages.reduce((sum, { rows }) => sum + rows.length, 0);
    const next: Open[] = [];
    for (const [index, group] of groups.entries()) {
      const page = pages[index];
      if (page === undefined) continue;
      for (const one of group) {
        const { still, result } = continueOne(one, page, limit, live, context);
        results.push(result);
        next.push(...still);
        await context.pause();
      }
    }
    // Even with nothing left to read each round must come to an end.
    left -= 1;
    open = next;
  }
  const rest = open.map(({ range, unsettled }) => {
    return { ...range, since: unsettled.last.ts + 1, until: Infinity };
  });
  return { results, rest };
}

/** Evaluations of one device that go on from the same position share a page. */
function groupOpen(
  open: readonly Open[],
  size: number,
  left: number,
  { options: { limits } }: BatchContext,
): { readonly limit: number; readonly groups: readonly (readonly [Open, ...Open[]])[] } {
  const groups = new Map<string, [Open, ...Open[]]>();
  for (const one of open) {
    const key = `${one.range.device} ${one.cursor}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  const share = Math.max(1, Math.floor(left / groups.size));
  return { limit: Math.min(size, share, limits.rangeRows), groups: [...groups.values()] };
}

async function readPages(
  groups: readonly (readonly [Open, ...Open[]])[],
  limit: number,
  live: LiveByDevice,
  context: BatchContext,
): Promise<readonly FixPage[]> {
  const { tx, contract } = context;
  const firsts = groups.map(([first]) => first);
  const requests = firsts.map(({ range: { device }, cursor }) => {
    return { device, since: cursor + 1, until: Infinity };
  });
  const pages = await tx.readFixes(requests, limit, contract.ignoredOf);
  const crossings = await tx.readCrossings(
    firsts.map(({ range: { device }, cursor }, index) => {
      const to = pages[index]?.rows.at(-1)?.ts ?? cursor;
      return { devices: keysOf(context, device), from: cursor, to };
    }),
  );
  for (const [index, { range }] of firsts.entries()) {
    live.get(range.device)?.push(...(crossings[index] ?? []));
  }
  return pages;
}

function continueOne(
  { range, unsettled }: Open,
  { rows }: FixPage,
  limit: number,
  live: LiveByDevice,
  { options }: BatchContext,
): { readonly still: readonly Open[]; readonly result: Settled } {
  const fixes = rows.flatMap(({ fix }) => fix ?? []);
  const known = liveCrossings(live.get(range.device) ?? []);
  const result = extend(unsettled, fixes, rows.length < limit, known, options);
  const cursor = rows.at(-1)?.ts ?? unsettled.last.ts;
  return { result, still: result.unsettled.map((next) => ({ range, unsettled: next, cursor })) };
}
