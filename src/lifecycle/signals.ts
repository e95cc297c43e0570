import { constants } from 'node:os';
import type { Logger } from '../core/types.ts';

/** Exit codes that operators and restart policies distinguish. */
export const exitCodes = { ok: 0, failed: 1, panic: 70, drainOverrun: 75, stalled: 75 } as const;

/**
 * Within this time the same signal counts as the first one. npm forwards a signal that the terminal
 * or systemd has already sent to the whole process group: one Ctrl-C arrives twice.
 */
const sameRequestMs = 1000;

/**
 * Resolves with the first SIGTERM or SIGINT. A second signal exits at once, for an operator who does
 * not wait for the drain, unless it is the first one delivered twice. The handler is needed because
 * a process with PID 1 has no default action for either signal.
 */
export function stopSignal(log: Logger): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let first: { readonly signal: NodeJS.Signals; readonly atMs: number } | null = null;
    const onSignal = (signal: NodeJS.Signals) => {
      if (first === null) {
        first = { signal, atMs: performance.now() };
        resolve(signal);
      } else if (signal === first.signal && performance.now() - first.atMs < sameRequestMs) {
        log.debug({ signal }, 'signal delivered twice');
      } else {
        log.warn({ signal }, 'second signal: ending at once');
        process.exit(128 + constants.signals[signal]);
      }
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
