import type { DomainStore } from './ports.ts';
import { type FailureReporting, reportFailures } from './reported-failures.ts';

export interface QueueWatchOptions {
  /** Between two counts of unknown devices, which reads the list of all devices. */
  readonly countMs: number;
  /** Rows of the outbox above which it becomes one range a device. */
  readonly outboxMax: number;
}

export interface QueueWatchParts extends FailureReporting {
  readonly store: DomainStore;
}

/** Returns one run: samples the outbox for the metrics, and keeps it below its limit; never rejects. */
export function createQueueWatch(
  { countMs, outboxMax }: QueueWatchOptions,
  parts: QueueWatchParts,
): () => Promise<void> {
  const { store, events } = parts;
  let countAt = 0;

  async function sample(): Promise<void> {
    // One more than the limit shows that it is exceeded.
    const queue = await store.sample(outboxMax + 1);
    const isCounted = Date.now() >= countAt;
    const unknownDevices = isCounted ? await store.countUnknown() : null;
    if (isCounted) countAt = Date.now() + countMs;
    events.sampled({ ...queue, unknownDevices });
    if (queue.rows <= outboxMax) return;
    const rows = await store.compact();
    if (rows !== null && rows.after < rows.before) events.compacted(rows);
  }

  return reportFailures(sample, parts, () => events.sampled(null));
}
