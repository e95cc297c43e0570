import { writeSync } from 'node:fs';
import { Session } from 'node:inspector';
import { workerData } from 'node:worker_threads';

/** What the watched thread hands to the watching one. */
export interface WatchdogData {
  /** Moves while the event loop turns. */
  readonly heart: Int32Array;
  readonly stallLimitMs: number;
  readonly beatMs: number;
  readonly exitCode: number;
  readonly env: string;
  readonly instance: string;
}

/** After this a thread that is stuck in native code is killed. */
const killAfterMs = 2000;

const { heart, stallLimitMs, beatMs, exitCode, env, instance }: WatchdogData = workerData;
let last = Atomics.load(heart, 0);
let movedMs = performance.now();
let lookedMs = movedMs;

const looking = setInterval(() => {
  const nowMs = performance.now();
  const now = Atomics.load(heart, 0);
  // This thread was held up as well: the machine was suspended or starved, not the event loop.
  const wasHeldUp = nowMs - lookedMs > 5 * beatMs;
  lookedMs = nowMs;
  if (now !== last || wasHeldUp) {
    last = now;
    movedMs = nowMs;
  } else if (nowMs - movedMs > stallLimitMs) {
    clearInterval(looking);
    end();
  }
}, beatMs);

function end(): void {
  const ts = new Date().toISOString();
  const fields = { service: 'processor', env, instance, stall_limit_ms: stallLimitMs };
  const msg = 'event loop blocked; exiting so that the supervisor restarts the process';
  writeSync(1, `${JSON.stringify({ level: 'error', ts, ...fields, msg })}\n`);
  // process.exit() in a worker ends the worker alone. An inspector session reaches the other
  // thread even in an endless loop, so that the exit code tells what happened.
  const session = new Session();
  session.connectToMainThread();
  session.post('Runtime.evaluate', { expression: `process.exit(${exitCode})` });
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), killAfterMs);
}
