import {
  BrokenCircuitError,
  CircuitState,
  CountBreaker,
  circuitBreaker,
  handleType,
} from 'cockatiel';
import { type BreakerState, DependencyError } from './types.ts';

export interface BreakerOptions {
  /** Share of failures among the last `samples` attempts above which it opens; 0 to 1, exclusive. */
  readonly errorRate: number;
  readonly samples: number;
  /** Attempts there must have been before it may open. */
  readonly minSamples: number;
  /** How long the dependency is left alone before one probe asks it again. */
  readonly coolDownMs: number;
}

export interface Breaker {
  readonly state: BreakerState;
  /** Until when nothing is asked, epoch milliseconds; in the past unless open. */
  readonly openUntilMs: number;
  /** @throws what `work` threw, or `BreakerOpen` without asking */
  run<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** The dependency was not asked: its breaker is open. */
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
 * Closed, open, half open with one probe; others wait for the probe's answer. Only a
 * DependencyError is a failure: a bug says nothing about the dependency.
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
          throw new BreakerOpen('not asked', { cause: error });
        throw error;
      }
    },
  };
}
