import { constants } from 'node:os';
import type { Logger } from '../core/types.ts';

/** Exit codes an operator and a restart policy can tell apart. */
export const exitCodes = { ok: 0, failed: 1, panic: 70, drainOverrun: 75, stalled: 75 } as const;

/**
 * Resolves with the first SIGTERM or SIGINT; a second one ends the process at once, for an
 * operator who will not wait for the drain. As PID 1 neither has a default action.
 */
export function stopSignal(log: Logger): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (asked) {
        log.warn({ signal }, 'second signal: ending at once');
        process.exit(128 + constants.signals[signal]);
      }
      asked = true;
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
