import { setTimeout } from 'node:timers/promises';

/**
 * Runs `work` periodically, `everyMs` after its last run ended, so that runs never overlap.
 * @returns a function that ends the repetition and waits for the current run
 */
export function repeat(work: () => Promise<void>, everyMs: number): () => Promise<void> {
  const stopped = new AbortController();
  const loop = async () => {
    while (!stopped.signal.aborted) {
      await work();
      await setTimeout(everyMs, undefined, { signal: stopped.signal }).catch(() => undefined);
    }
  };
  const running = loop();
  return () => {
    stopped.abort();
    return running;
  };
}
