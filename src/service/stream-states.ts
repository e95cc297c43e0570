import { type BreakerState, breakerStates } from '../core/types.ts';
import type { Health } from '../lifecycle/health.ts';
import { showBreaker, showUp } from '../observability/guard-events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { combine, combineStates } from '../observability/shards.ts';

/** The parts of the readiness probe that every stream has a state of. */
const parts = ['redis', 'dead_letters', 'consumption'] as const;
type Part = (typeof parts)[number];

/** What one stream reports to probes and gauges that all streams share. */
export interface StreamState {
  /** Sets the state of one part for the readiness probe. */
  health(part: Part, state: string): void;
  redisUp(isUp: boolean): void;
  breaker(state: BreakerState): void;
  connected(role: 'reader' | 'writer', isConnected: boolean): void;
  paused(isPaused: boolean): void;
  nameShared(isShared: boolean): void;
}

/**
 * Returns the state of each stream. The shared probe and gauges show the worst of all streams, and the
 * probe names the shards.
 * @param shards null alone without shards
 */
export function createStreamStates(
  shards: readonly (number | null)[],
  metrics: Metrics,
  health: Health,
): (index: number) => StreamState {
  const { length } = shards;
  const worst = (show: (value: 0 | 1) => void, worse: 0 | 1) =>
    combine<0 | 1>(length, (known) => show(known.includes(worse) ? worse : flipped[worse]));
  const connected = {
    reader: worst((value) => metrics.redisConnected.set({ role: 'reader' }, value), 0),
    writer: worst((value) => metrics.redisConnected.set({ role: 'writer' }, value), 0),
  };
  const redisUp = worst((value) => showUp(metrics, 'redis', value === 1), 0);
  const paused = worst((value) => metrics.consumptionPaused.set(value), 1);
  const nameShared = worst((value) => metrics.nameShared.set(value), 1);
  const breaker = combine<BreakerState>(length, (known) => {
    const worstFirst = breakerStates.toReversed();
    showBreaker(metrics, 'redis', worstFirst.find((state) => known.includes(state)) ?? 'closed');
  });
  const setHealth = createHealthOfStreams(shards, health);
  return (index) => ({
    health: (part, state) => setHealth(index, part, state),
    redisUp: (isUp) => redisUp(index, isUp ? 1 : 0),
    breaker: (state) => breaker(index, state),
    connected: (role, isConnected) => connected[role](index, isConnected ? 1 : 0),
    paused: (isPaused) => paused(index, isPaused ? 1 : 0),
    nameShared: (isShared) => nameShared(index, isShared ? 1 : 0),
  });
}

const flipped = { 0: 1, 1: 0 } as const;

function createHealthOfStreams(shards: readonly (number | null)[], health: Health) {
  const states = new Map(parts.map((part) => [part, new Map<number, string>()]));
  // A shard that was not prepared yet is not ready.
  for (const shard of shards) if (shard !== null) states.get('redis')?.set(shard, 'starting');
  return (index: number, part: Part, state: string) => {
    const shard = shards[index] ?? null;
    const known = states.get(part);
    if (shard === null || known === undefined) {
      health.set(part, state);
      return;
    }
    known.set(shard, state);
    health.set(part, combineStates(known));
  };
}
