import {
  breakerStates,
  type Dependency,
  type DependencyError,
  type GuardEvents,
  type Logger,
} from '../core/types.ts';
import type { Metrics } from './metrics.ts';

export interface GuardEventsOptions {
  /** A dependency's state changed, for the readiness probe. */
  readonly onDependency: (dependency: Dependency, state: string) => void;
  /** For the dump of a panic. */
  readonly onError: (error: DependencyError) => void;
}

/** Events of the dependencies' guards as metrics and log lines. */
export function createGuardEvents(
  metrics: Metrics,
  log: Logger,
  options: GuardEventsOptions,
): GuardEvents {
  return {
    failed(error, attempt, subject) {
      const { dependency, kind, code } = error;
      metrics.retries.inc({ dependency });
      metrics.dependencyUp.set({ dependency }, 0);
      options.onDependency(dependency, `${kind}: ${code}`);
      options.onError(error);
      // Logged at powers of two: a long outage must not fill the disk.
      if (!isPowerOfTwo(attempt)) return;
      const level = kind === 'configuration' ? 'error' : 'warn';
      log[level](
        { dependency, kind, code, attempt, ...subject, err: error },
        'dependency failed; reading is blocked',
      );
    },
    recovered(dependency) {
      metrics.dependencyUp.set({ dependency }, 1);
      options.onDependency(dependency, 'ok');
      log.info({ dependency }, 'dependency works again');
    },
    breaker(dependency, to) {
      metrics.breakerTransitions.inc({ dependency, to });
      for (const state of breakerStates) {
        metrics.breakerState.set({ dependency, state }, state === to ? 1 : 0);
      }
      // At debug level, because a long outage opens it after every probe; the metric counts each.
      log.debug({ dependency, state: to }, 'circuit breaker changed');
    },
  };
}

export interface DeadLetterGuardOptions {
  /** Whether dead letters can be written, for the readiness probe. */
  readonly onState: (state: string) => void;
  readonly onError: (error: DependencyError) => void;
}

/**
 * Events of the guard of the dead-letter stream as metrics and log lines. Redis itself is up: reading
 * and other acknowledgements go on.
 */
export function createDeadLetterGuardEvents(
  metrics: Metrics,
  log: Logger,
  { onState, onError }: DeadLetterGuardOptions,
): GuardEvents {
  return {
    failed(error, attempt, subject) {
      const { dependency, kind, code } = error;
      metrics.retries.inc({ dependency });
      onState(`${kind}: ${code}`);
      onError(error);
      if (!isPowerOfTwo(attempt)) return;
      const level = kind === 'configuration' ? 'error' : 'warn';
      log[level](
        { kind, code, attempt, ...subject, err: error },
        'dead letters cannot be written; their entries stay pending',
      );
    },
    recovered() {
      onState('ok');
      log.info({}, 'dead letters are written again');
    },
    // The readiness probe reports this state.
    breaker: () => undefined,
  };
}

/** The attempts that are logged. */
export function isPowerOfTwo(count: number): boolean {
  return (count & (count - 1)) === 0;
}
