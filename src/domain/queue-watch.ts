import { createNap } from './nap.ts';
import type { DomainEvents, DomainStore } from './ports.ts';
import type { BatchErrorMeaning } from './worker-parts.ts';

export interface QueueWatchOptions {
  readonly sampleMs: number;
  /** Between two counts of unknown devices, which reads the list of all devices. */
  readonly countMs: number;
  /** Rows of the outbox above which it becomes one range a device. */
  readonly outboxMax: number;
}

export interface QueueWatchParts {
  readonly store: DomainStore;
  readonly events: DomainEvents;
  readonly meaningOf: (error: unknown) => BatchErrorMeaning;
}

export interface QueueWatch {
  start(): void;
  stop(): Promise<void>;
}

/** Samples the outbox for the metrics, and keeps it below its limit. */
export function createQueueWatch(
  { sampleMs, countMs, outboxMax }: QueueWatchOptions,
  { store, events, meaningOf }: QueueWatchParts,
): QueueWatch {
  const nap = createNap();
  let isStopped = false;
  let running: Promise<void> | null = null;
  let countAt = 0;
  let failures = 0;

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

  async function look(): Promise<void> {
    try {
      await sample();
      failures = 0;
    } catch (error) {
      failures += 1;
      const { kind, code } = meaningOf(error);
      events.sampled(null);
      events.failed({ kind, code, attempt: failures, devices: 0, error });
    }
  }

  async function run(): Promise<void> {
    while (!isStopped) {
      await look();
      if (!isStopped) await nap.sleep(sampleMs);
    }
  }

  return {
    start() {
      running ??= run();
    },
    async stop() {
      isStopped = true;
      nap.wake();
      await running;
    },
  };
}
