import { setTimeout } from 'node:timers/promises';

/** Returns a wait that lets at most `rate` calls a second pass, and passes at once after the signal. */
export function createPace(rate: number, signal: AbortSignal): () => Promise<void> {
  let nextMs = performance.now();
  return async () => {
    const nowMs = performance.now();
    const waitMs = nextMs - nowMs;
    nextMs = Math.max(nextMs, nowMs) + 1000 / rate;
    if (waitMs > 1) await setTimeout(waitMs, undefined, { signal }).catch(() => undefined);
  };
}
