import type { Config } from '../config/load.ts';
import { Guard } from '../core/guard.ts';
import type { Dependency, DependencyError, Logger } from '../core/types.ts';
import type { Health } from '../lifecycle/health.ts';
import type { RecentErrors } from '../lifecycle/recent-errors.ts';
import { createDeadLetterGuardEvents, createGuardEvents } from '../observability/guard-events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { scrub } from '../observability/scrub.ts';

/** Bounds of the pauses before a failed dependency is asked again. */
export const retryBackoff = { minMs: 100, maxMs: 5000 };

interface GuardSurroundings {
  readonly config: Config;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly log: Logger;
  readonly errors: RecentErrors;
}

/** One guard for each dependency, and one for the dead-letter stream alone. */
export function buildGuards({ config, metrics, health, log, errors }: GuardSurroundings) {
  const onError = ({ code, message }: DependencyError) => errors.add(code, scrub(message));
  const events = createGuardEvents(metrics, log, { onDependency: health.set, onError });
  const deadLetterEvents = createDeadLetterGuardEvents(metrics, log, {
    onState: (state) => health.set('dead_letters', state),
    onError,
  });
  const guardOf = (dependency: Dependency, guardEvents = events) =>
    new Guard({ dependency, backoff: retryBackoff, ...config.retry }, guardEvents);
  health.set('dead_letters', 'ok');
  return {
    guards: { redis: guardOf('redis'), database: guardOf('database') },
    deadLetterGuard: guardOf('redis', deadLetterEvents),
  };
}
