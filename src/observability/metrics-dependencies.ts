import { breakerStates, dependencies } from '../core/types.ts';
import { initialised, type MetricMaker } from './metric-maker.ts';

const redisRoles = ['reader', 'writer'] as const;

/** Metrics of the health of Redis and the database. */
export function createDependenciesMetrics(make: MetricMaker) {
  return {
    retries: make.counter(
      'processor_retries_total',
      'Failed attempts that are retried.',
      'dependency',
      dependencies,
    ),
    retryBudget: make.labelledGauge(
      'processor_retry_budget_remaining_ratio',
      'Remaining share of the retry budget.',
      ['dependency'],
    ),
    breakerState: initialised(
      make.labelledGauge(
        'processor_circuit_breaker_state',
        '1 for the current state of the breaker.',
        ['dependency', 'state'],
      ),
      dependencies.flatMap((dependency) =>
        breakerStates.map((state) => [{ dependency, state }, state === 'closed' ? 1 : 0] as const),
      ),
    ),
    breakerTransitions: make.counterOfTwo(
      'processor_circuit_breaker_transitions_total',
      'State changes of the breaker, by new state.',
      { dependency: dependencies, to: breakerStates },
    ),
    dependencyUp: make.labelledGauge('processor_dependency_up', '1 while the dependency answers.', [
      'dependency',
    ]),
    redisConnected: make.labelledGauge(
      'processor_redis_connected',
      '1 while the connection is up.',
      ['role'],
    ),
    redisReconnects: make.counter(
      'processor_redis_reconnects_total',
      'Reconnections to Redis.',
      'role',
      redisRoles,
    ),
    redisPrimaryChanges: make.plainCounter(
      'processor_redis_primary_changes_total',
      'Times that a connection found another primary than the one before it.',
    ),
  };
}
