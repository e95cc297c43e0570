import { setTimeout } from 'node:timers/promises';

/** Keeps a stream from being read until it is prepared. */
export interface Gate {
  readonly isOpen: boolean;
  open(): void;
  /** Waits until it is open, for at most `ms`. @returns whether it is open */
  wait(ms: number): Promise<boolean>;
}

export function createGate(): Gate {
  const opened = new AbortController();
  return {
    get isOpen() {
      return opened.signal.aborted;
    },
    open: () => opened.abort(),
    async wait(ms) {
      await setTimeout(ms, undefined, { signal: opened.signal, ref: false }).catch(() => undefined);
      return opened.signal.aborted;
    },
  };
}
