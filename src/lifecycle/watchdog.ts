import { Worker } from 'node:worker_threads';
import type { Service } from '../core/types.ts';
import { exitCodes } from './signals.ts';
import type { WatchdogData } from './watchdog-worker.ts';

export interface WatchdogOptions {
  /** Longest time that the event loop may be blocked. */
  readonly stallLimitMs: number;
  /** For the last log line, which the blocked thread cannot write. */
  readonly env: string;
  readonly instance: string;
}

/** Heartbeats within one limit. */
const beatsPerLimit = 10;
const maxBeatMs = 1000;

/**
 * Exits with 75 when the event loop is blocked: a container engine restarts a process that exits,
 * not one that hangs. A second thread watches, because a blocked loop cannot watch itself.
 */
export function createWatchdog({ stallLimitMs, env, instance }: WatchdogOptions): Service {
  let running: { worker: Worker; beat: NodeJS.Timeout } | null = null;
  const beatMs = Math.min(maxBeatMs, stallLimitMs / beatsPerLimit);
  return {
    name: 'watchdog',
    start() {
      if (running === null) {
        const heart = new Int32Array(new SharedArrayBuffer(4));
        const worker = startWorker({
          heart,
          stallLimitMs,
          beatMs,
          env,
          instance,
          exitCode: exitCodes.stalled,
        });
        const beat = setInterval(() => Atomics.add(heart, 0, 1), beatMs);
        beat.unref();
        running = { worker, beat };
      }
      return Promise.resolve();
    },
    async stop() {
      const ending = running;
      running = null;
      if (ending === null) return;
      clearInterval(ending.beat);
      await ending.worker.terminate();
    },
  };
}

function startWorker(workerData: WatchdogData): Worker {
  // The worker has the extension of this file: source or built.
  const file = import.meta.url.endsWith('.ts') ? './watchdog-worker.ts' : './watchdog-worker.js';
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
  });
  worker.unref();
  return worker;
}
