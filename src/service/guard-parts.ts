import type { Config } from '../config/load.ts';
import { Guard } from '../core/guard.ts';
import type { Dependency, DependencyError, GuardEvents, Logger } from '../core/types.ts';
import type { Health } from '../lifecycle/health.ts';
import type { RecentErrors } from '../lifecycle/recent-errors.ts';
import {
  createDeadLetterGuardEvents,
  createGuardEvents,
  showBreaker,
  showUp,
} from '../observability/guard-events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { scrub } from '../observability/scrub.ts';
import type { StreamState } from './stream-states.ts';

/** Bounds of the pauses before a failed dependency is asked again. */
export const retryBackoff = { minMs: 100, maxMs: 5000 };

export interface GuardSurroundings {
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly errors: RecentErrors;
}

/** Builds the guard of the database, which all streams share. */
export function buildDatabaseGuard(surroundings: GuardSurroundings, health: Health): Guard {
  const { config, metrics, log } = surroundings;
  const events = createGuardEvents(metrics, log, {
    onState: (state) => health.set('database', state),
    showUp: (isUp) => showUp(metrics, 'database', isUp),
    showBreaker: (state) => showBreaker(metrics, 'database', state),
    onError: remember(surroundings),
  });
  return guardOf(config, 'database', events);
}

/** Builds the guards of one stream: of its Redis, and of its dead-letter stream alone. */
export function buildRedisGuards(surroundings: GuardSurroundings, state: StreamState) {
  const { config, metrics, log } = surroundings;
  const events = createGuardEvents(metrics, log, {
    onState: (text) => state.health('redis', text),
    showUp: state.redisUp,
    showBreaker: state.breaker,
    onError: remember(surroundings),
  });
  const deadLetterEvents = createDeadLetterGuardEvents(metrics, log, {
    onState: (text) => state.health('dead_letters', text),
    onError: remember(surroundings),
  });
  state.health('dead_letters', 'ok');
  return {
    guard: guardOf(config, 'redis', events),
    deadLetterGuard: guardOf(config, 'redis', deadLetterEvents),
  };
}

function remember({ errors }: GuardSurroundings) {
  return ({ code, message }: DependencyError) => errors.add(code, scrub(message));
}

function guardOf({ retry }: Config, dependency: Dependency, events: GuardEvents): Guard {
  return new Guard({ dependency, backoff: retryBackoff, ...retry }, events);
}
