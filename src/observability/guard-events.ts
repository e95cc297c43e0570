import {
  type BreakerState,
  breakerStates,
  type Dependency,
  type DependencyError,
  type GuardEvents,
  type Logger,
} from '../core/types.ts';
import type { Metrics } from './metrics.ts';

export interface GuardEventsOptions {
  /** The dependency's state changed, for the readiness probe. */
  readonly onState: (state: string) => void;
  /** Exports whether the dependency answers. */
  readonly showUp: (isUp: boolean) => void;
  /** Exports the state of the breaker. */
  readonly showBreaker: (state: BreakerState) => void;
  /** For the dump of a panic. */
  readonly onError: (error: DependencyError) => void;
}

/** Events of the guard of a dependency as metrics and log lines. */
export function createGuardEvents(
  metrics: Metrics,
  log: Logger,
  options: GuardEventsOptions,
): GuardEvents {
  return {
    failed(error, attempt, subject) {
      const { dependency, kind, code } = error;
      metrics.retries.inc({ dependency });
      options.showUp(false);
      options.onState(`${kind}: ${code}`);
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
      options.showUp(true);
      options.onState('ok');
      log.info({ dependency }, 'dependency works again');
    },
    breaker(dependency, to) {
      metrics.breakerTransitions.inc({ dependency, to });
      options.showBreaker(to);
      // At debug level, because a long outage opens it after every probe; the metric counts each.
      log.debug({ dependency, state: to }, 'circuit breaker changed');
    },
  };
}

export function showUp(metrics: Metrics, dependency: Dependency, isUp: boolean): void {
  metrics.dependencyUp.set({ dependency }, isUp ? 1 : 0);
}

export function showBreaker(metrics: Metrics, dependency: Dependency, current: BreakerState): void {
  for (const state of breakerStates) {
    metrics.breakerState.set({ dependency, state }, state === current ? 1 : 0);
  }
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
