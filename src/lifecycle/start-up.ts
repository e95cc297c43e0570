import { setTimeout } from 'node:timers/promises';
import { type BackoffLimits, backoffMs } from '../core/backoff.ts';
import { DependencyError, type Logger } from '../core/types.ts';

export interface RetryStepOptions extends BackoffLimits {
  readonly signal: AbortSignal;
  readonly onFailure: (error: DependencyError) => void;
  /** Whether a failed attempt is logged; attempts count from 1. Default: every attempt. */
  readonly isLogged?: (attempt: number) => boolean;
}

/**
 * Retries a step of the start-up until it succeeds: after a reboot of the host the servers start in
 * any order. Only failures of a dependency are retried.
 * @throws any other error, or an AbortError after the signal
 */
export async function retryStep<Result>(
  what: string,
  step: () => Promise<Result>,
  options: RetryStepOptions,
  log: Logger,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    options.signal.throwIfAborted();
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
      options.onFailure(error);
      if (options.isLogged?.(attempt) !== false) {
        log.warn(
          { step: what, attempt, dependency: error.dependency, code: error.code, err: error },
          'start-up step failed; retrying',
        );
      }
      await setTimeout(backoffMs(attempt, options), undefined, { signal: options.signal });
    }
  }
}
