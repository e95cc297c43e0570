import { setTimeout } from 'node:timers/promises';
import type { SimulatedEntry } from './entry.ts';
import type { Fleet } from './fleet.ts';
import type { Sender } from './sender.ts';

export interface FeedOptions {
  readonly sender: Pick<Sender, 'send' | 'backlog'>;
  readonly fleet: Pick<Fleet, 'next'>;
  /** Stops at this many records, at the end of the entry that reaches them; null: no such end. */
  readonly records: number | null;
  /** Milliseconds; null: no such end. One of the two ends must be there. */
  readonly durationMs: number | null;
  /** Records a second; null: flat out. */
  readonly rate: number | null;
  /** Entries unread or unacknowledged above which the feed waits; null: never. */
  readonly maxBacklog: number | null;
  readonly signal: AbortSignal;
}

export interface FeedTotals {
  entries: number;
  records: number;
  /** Of all names and values. */
  bytes: number;
}

const batchEntries = 256;
const batchBytes = 262_144;
const pauseMs = 5;
const backlogPauseMs = 50;
/** At a low rate entries go out at once; at a high one in batches. */
const batchesASecond = 50;

interface SentBatch {
  readonly entries: readonly SimulatedEntry[];
  readonly unsent: Promise<readonly SimulatedEntry[]>;
}

/**
 * Adds the fleet's entries to the stream until a limit is met or the signal aborts. One batch of
 * at most 256 entries or 256 KiB are on their way while the next is made.
 * @throws SendError when an entry was refused, Redis stayed away, or an answer was lost
 */
export async function feed(options: FeedOptions): Promise<FeedTotals> {
  const { sender, fleet, rate, maxBacklog, signal } = options;
  const records = options.records ?? Number.POSITIVE_INFINITY;
  const durationMs = options.durationMs ?? Number.POSITIVE_INFINITY;
  if (records === Number.POSITIVE_INFINITY && durationMs === Number.POSITIVE_INFINITY) {
    throw new RangeError('a feed needs an end: records or durationMs');
  }
  const totals: FeedTotals = { entries: 0, records: 0, bytes: 0 };
  const start = performance.now();
  let made = 0;
  let onItsWay: SentBatch | null = null;

  function makeBatch(maxRecords: number): SimulatedEntry[] {
    const entries: SimulatedEntry[] = [];
    let bytes = 0;
    let inBatch = 0;
    while (inBatch < maxRecords && entries.length < batchEntries && bytes < batchBytes) {
      const entry = fleet.next();
      entries.push(entry);
      bytes += bytesOf(entry);
      inBatch += entry.records.length;
    }
    made += inBatch;
    return entries;
  }

  /** Records that may go out now. */
  function allowance(): number {
    const left = records - made;
    if (rate === null) return left;
    const elapsed = (performance.now() - start) / 1000;
    const due = Math.floor(rate * elapsed) - made;
    return due < rate / batchesASecond && due < left ? 0 : Math.min(due, left);
  }

  async function settle(batch: SentBatch | null): Promise<void> {
    if (batch === null) return;
    const unsent = new Set(await batch.unsent);
    for (const entry of batch.entries) {
      if (unsent.has(entry)) continue;
      totals.entries += 1;
      totals.records += entry.records.length;
      totals.bytes += bytesOf(entry);
    }
  }

  while (made < records && performance.now() - start < durationMs && !signal.aborted) {
    const maxRecords = allowance();
    const crowded = maxBacklog !== null && (await sender.backlog()) > maxBacklog;
    if (maxRecords <= 0 || crowded) {
      await settle(onItsWay);
      onItsWay = null;
      await setTimeout(crowded ? backlogPauseMs : pauseMs);
      continue;
    }
    const entries = makeBatch(maxRecords);
    await settle(onItsWay);
    onItsWay = sendAll(sender, entries);
  }
  await settle(onItsWay);
  return totals;
}

function sendAll(sender: FeedOptions['sender'], entries: readonly SimulatedEntry[]): SentBatch {
  const unsent = sender.send(entries);
  // Awaited one batch later; until then a failure must not count as unhandled.
  unsent.catch(() => {});
  return { entries, unsent };
}

function bytesOf({ fields }: SimulatedEntry): number {
  return fields.reduce((sum, field) => sum + field.length, 0);
}
