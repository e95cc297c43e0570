import { writeSync } from 'node:fs';
import { Session } from 'node:inspector';
import { workerData } from 'node:worker_threads';

/** Passed from the main thread to the watchdog thread. */
export interface WatchdogData {
  /** A counter that grows while the event loop runs. */
  readonly heart: Int32Array;
  readonly stallLimitMs: number;
  readonly beatMs: number;
  readonly exitCode: number;
  readonly env: string;
  readonly instance: string;
}

/** Delay before SIGKILL, for a thread that is blocked in native code. */
const killAfterMs = 2000;

const { heart, stallLimitMs, beatMs, exitCode, env, instance }: WatchdogData = workerData;
let last = Atomics.load(heart, 0);
let movedMs = performance.now();
let checkedMs = movedMs;

const check = setInterval(() => {
  const nowMs = performance.now();
  const now = Atomics.load(heart, 0);
  // This thread was delayed as well: the machine was suspended or overloaded, not the event loop.
  const wasHeldUp = nowMs - checkedMs > 5 * beatMs;
  checkedMs = nowMs;
  if (now !== last || wasHeldUp) {
    last = now;
    movedMs = nowMs;
  } else if (nowMs - movedMs > stallLimitMs) {
    clearInterval(check);
    end();
  }
}, beatMs);

function end(): void {
  const ts = new Date().toISOString();
  const fields = { service: 'processor', env, instance, stall_limit_ms: stallLimitMs };
  const msg = 'event loop blocked; exiting so that the supervisor restarts the process';
  writeSync(1, `${JSON.stringify({ level: 'error', ts, ...fields, msg })}\n`);
  // process.exit() in a worker ends the worker alone. An inspector session reaches the other
  // thread even in an endless loop, so that the exit code is 75.
  const session = new Session();
  session.connectToMainThread();
  session.post('Runtime.evaluate', { expression: `process.exit(${exitCode})` });
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), killAfterMs);
}
