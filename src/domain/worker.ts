import { createBatches } from './batches.ts';
import { createNap } from './nap.ts';
import type { WorkerOptions, WorkerParts } from './worker-parts.ts';

export interface Worker {
  start(): void;
  /** Looks at the outbox at once. */
  wake(): void;
  /** Takes nothing more; resolves when the running batch is committed or rolled back. */
  stop(): Promise<void>;
}

const WAIT_MS = 1000;

/**
 * Computes what is in the outbox, batch by batch, until it is stopped. A batch that fails is rolled
 * back and tried again, so there is nothing to recover after a crash. Nothing here throws: an error is
 * an event, and the next attempt comes after a pause.
 */
export function createWorker(options: WorkerOptions, parts: WorkerParts): Worker {
  const stopping = new AbortController();
  const nap = createNap();
  const waits = reportedWaits(parts);
  const batches = createBatches(options, parts, stopping.signal);
  let running: Promise<void> | null = null;

  async function round(): Promise<number> {
    if (parts.isIngestionFailing()) return waits('ingestion', WAIT_MS);
    const contract = parts.contract();
    if (contract === null) return WAIT_MS;
    const { outcome, pauseMs } = await batches.next(contract);
    if (outcome === 'paused') return waits('paused', WAIT_MS);
    waits(null, 0);
    return pauseMs;
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const pauseMs = await round();
      if (pauseMs > 0) await nap.sleep(pauseMs);
    }
  }

  return {
    start() {
      running ??= run();
    },
    wake: nap.wake,
    async stop() {
      stopping.abort();
      nap.wake();
      await running;
    },
  };
}

/** Reports what the worker waits for when it changes. */
function reportedWaits({ events }: WorkerParts) {
  let last: 'paused' | 'ingestion' | null = null;
  return (cause: 'paused' | 'ingestion' | null, pauseMs: number): number => {
    if (cause !== last) events.waiting(cause);
    last = cause;
    return pauseMs;
  };
}
