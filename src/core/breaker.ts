import {
  BrokenCircuitError,
  CircuitState,
  CountBreaker,
  circuitBreaker,
  handleType,
} from 'cockatiel';
import { type BreakerState, DependencyError } from './types.ts';

export interface BreakerOptions {
  /** The breaker opens when more than this share of the last `samples` attempts failed; between 0 and 1. */
  readonly errorRate: number;
  readonly samples: number;
  /** Minimum number of attempts before it may open. */
  readonly minSamples: number;
  /** How long an open breaker waits before one probe calls the dependency again. */
  readonly coolDownMs: number;
}

export interface Breaker {
  readonly state: BreakerState;
  /** End of the cool-down, epoch milliseconds; in the past unless the breaker is open. */
  readonly openUntilMs: number;
  /** Runs `work`. @throws its error, or `BreakerOpen` without running it */
  run<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** The work was not run, because the breaker of its dependency is open. */
export class BreakerOpen extends Error {
  override readonly name = 'BreakerOpen';
  readonly code = 'breaker_open';
}

const stateNames: Readonly<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.HalfOpen]: 'half_open',
  [CircuitState.Open]: 'open',
  [CircuitState.Isolated]: 'open',
};

/**
 * Creates a circuit breaker: closed, open, or half open with a single probe, whose result all other
 * work waits for. Only a DependencyError counts as a failure; other errors are bugs.
 */
export function createBreaker(
  options: BreakerOptions,
  onChange: (state: BreakerState) => void,
): Breaker {
  const policy = circuitBreaker(handleType(DependencyError), {
    halfOpenAfter: options.coolDownMs,
    breaker: new CountBreaker({
      threshold: options.errorRate,
      size: options.samples,
      minimumNumberOfCalls: options.minSamples,
    }),
  });
  let openUntilMs = 0;
  policy.onBreak(() => {
    openUntilMs = Date.now() + options.coolDownMs;
  });
  policy.onStateChange((state) => onChange(stateNames[state]));
  return {
    get state() {
      return stateNames[policy.state];
    },
    get openUntilMs() {
      return openUntilMs;
    },
    async run(work) {
      try {
        return await policy.execute(work);
      } catch (error) {
        if (error instanceof BrokenCircuitError)
          throw new BreakerOpen('the breaker is open', { cause: error });
        throw error;
      }
    },
  };
}
