import { setTimeout } from 'node:timers/promises';
import { DependencyError, type Logger } from '../core/types.ts';

export interface KeepTryingOptions {
  readonly minMs: number;
  readonly maxMs: number;
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
      const pauseMs = Math.min(options.maxMs, options.minMs * 2 ** Math.min(attempt - 1, 10));
      await setTimeout(pauseMs * (0.5 + Math.random()), undefined, { signal: options.signal });
    }
  }
}
