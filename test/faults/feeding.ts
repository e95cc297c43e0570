import { setTimeout as sleep } from 'node:timers/promises';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';
import type { FeedTotals } from '../../src/simulator/feed.ts';
import type { Fleet } from '../../src/simulator/fleet.ts';
import type { Sender } from './sender.ts';

export interface FeedingOptions {
  readonly fleet: Pick<Fleet, 'next'>;
  readonly sender: Sender;
  /** Ends at the end of the entry that reaches them. */
  readonly records: number;
  /** Records a second; null: flat out. What an outage held up is made good flat out. */
  readonly rate: number | null;
  /** Aborted: no further entry is made, and what is under way is sent. */
  readonly stop: AbortSignal;
}

const BATCH_ENTRIES = 256;
const PAUSE_MS = 10;

/** As `feed` of the simulator, through a sender that outlives an outage of Redis. */
export async function feedFleet(options: FeedingOptions): Promise<FeedTotals> {
  const { fleet, sender, records, rate, stop } = options;
  const totals: FeedTotals = { entries: 0, records: 0, bytes: 0 };
  const start = performance.now();

  function allowance(): number {
    const left = records - totals.records;
    if (rate === null) return left;
    const due = Math.floor((rate * (performance.now() - start)) / 1000) - totals.records;
    return Math.min(due, left);
  }

  function makeBatch(most: number): SimulatedEntry[] {
    const entries: SimulatedEntry[] = [];
    for (let made = 0; made < most && entries.length < BATCH_ENTRIES; ) {
      const entry = fleet.next();
      entries.push(entry);
      made += entry.records.length;
      totals.bytes += entry.fields.reduce((sum, field) => sum + field.length, 0);
    }
    totals.entries += entries.length;
    totals.records += entries.reduce((sum, entry) => sum + entry.records.length, 0);
    return entries;
  }

  let underWay: Promise<unknown> = Promise.resolve();
  while (totals.records < records && !stop.aborted) {
    const most = allowance();
    if (most <= 0) {
      await sleep(PAUSE_MS);
      continue;
    }
    const batch = makeBatch(most);
    await underWay;
    underWay = sender.send(batch);
    // Awaited one batch later; until then a failure must not count as unhandled.
    underWay.catch(() => {});
  }
  await underWay;
  return totals;
}
