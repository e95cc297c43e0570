import { Worker } from 'node:worker_threads';
import type { Service } from '../core/types.ts';
import { exitCodes } from './signals.ts';
import type { WatchdogData } from './watchdog-worker.ts';

export interface WatchdogOptions {
  /** The event loop may stand still this long. */
  readonly stallLimitMs: number;
  /** For the last log line, which the stalled thread cannot write. */
  readonly env: string;
  readonly instance: string;
}

/** Beats in the time of one limit. */
const beatsPerLimit = 10;
const maxBeatMs = 1000;

/**
 * Ends the process with 75 when its event loop stands still: an engine restarts what has ended,
 * never what merely hangs. Only another thread can see it.
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
          ...{ heart, stallLimitMs, beatMs, env, instance },
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
  // The same file, whether it runs from its source or was built.
  const file = import.meta.url.endsWith('.ts') ? './watchdog-worker.ts' : './watchdog-worker.js';
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
  });
  worker.unref();
  return worker;
}
