import { setTimeout } from 'node:timers/promises';

/**
 * Does `work` again and again, `everyMs` after it ended last, so that two runs never overlap.
 * @returns ends the repetition and waits for the run under way
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
