import { setTimeout } from 'node:timers/promises';
import { type BackoffLimits, backoffMs } from '../core/backoff.ts';
import { DependencyError, type Logger } from '../core/types.ts';

export interface KeepTryingOptions extends BackoffLimits {
  readonly signal: AbortSignal;
  readonly onFailure: (error: DependencyError) => void;
}

/**
 * Does a step of the start-up until it works: after a reboot of the host everything starts at
 * once, in any order. Only failures of a dependency are tried again.
 * @throws what else went wrong, or an AbortError when the stop came first
 */
export async function keepTrying<Result>(
  what: string,
  step: () => Promise<Result>,
  options: KeepTryingOptions,
  log: Logger,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    options.signal.throwIfAborted();
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
      options.onFailure(error);
      log.warn(
        { step: what, attempt, dependency: error.dependency, code: error.code, err: error },
        'start-up step failed; trying again',
      );
      await setTimeout(backoffMs(attempt, options), undefined, { signal: options.signal });
    }
  }
}
