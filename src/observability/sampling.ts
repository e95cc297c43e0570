import type { Gauge } from 'prom-client';
import { type Dependency, dependencies, type IdFault, idFaults } from '../core/types.ts';
import type { Metrics } from './metrics.ts';
import type { ShardMetrics } from './metrics-shards.ts';

/** One sample of a stream, or of all together; null where a value is unknown. */
export interface BacklogSample {
  readonly length: number | null;
  readonly neverWritten: boolean;
  readonly lag: number | null;
  readonly lagAgeMs: number | null;
  readonly pending: number | null;
  readonly pendingOldestMs: number | null;
  readonly idFault: IdFault | null;
  readonly deadLetters: number | null;
  readonly deadLetterOldestMs: number;
}

/** Sets a gauge, or removes it while its value is unknown: it is absent then, never 0. */
function show<Label extends string>(
  gauge: Gauge<Label>,
  labels: Partial<Record<Label, string>>,
  value: number | null,
): void {
  if (value === null) gauge.remove(labels);
  else gauge.set(labels, value);
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}

/** Exports one sample of the stream. */
export function showBacklog(
  metrics: Metrics,
  labels: { readonly stream: string; readonly group: string },
  backlog: BacklogSample,
): void {
  const { stream } = labels;
  show(metrics.streamLength, { stream }, backlog.length);
  metrics.streamNeverWritten.set({ stream }, backlog.neverWritten ? 1 : 0);
  metrics.groupLagKnown.set(labels, backlog.lag === null ? 0 : 1);
  show(metrics.groupLag, labels, backlog.lag);
  show(metrics.groupLagSeconds, labels, seconds(backlog.lagAgeMs));
  show(metrics.groupPending, labels, backlog.pending);
  show(metrics.groupPendingOldest, labels, seconds(backlog.pendingOldestMs));
  for (const reason of idFaults) {
    metrics.streamIdFault.set({ stream, reason }, backlog.idFault === reason ? 1 : 0);
  }
  show(metrics.deadLetterEntries, {}, backlog.deadLetters);
  metrics.deadLetterOldest.set(backlog.deadLetterOldestMs / 1000);
}

/** Exports the sample of one shard; null if it could not be sampled. */
export function showShard(
  shards: ShardMetrics,
  shard: number,
  { isUp, isPaused, backlog }: ShardSample,
): void {
  const labels = { shard: String(shard) };
  shards.up.set(labels, isUp ? 1 : 0);
  shards.paused.set(labels, isPaused ? 1 : 0);
  show(shards.length, labels, backlog?.length ?? null);
  show(shards.lag, labels, backlog?.lag ?? null);
  show(shards.lagSeconds, labels, seconds(backlog?.lagAgeMs ?? null));
  show(shards.pending, labels, backlog?.pending ?? null);
}

interface ShardSample {
  readonly isUp: boolean;
  readonly isPaused: boolean;
  readonly backlog: BacklogSample | null;
}

/** Removes the gauges of the stream while it cannot be sampled, so that no stale value remains. */
export function forgetBacklog(
  metrics: Metrics,
  labels: { readonly stream: string; readonly group: string },
): void {
  const { stream } = labels;
  metrics.streamLength.remove({ stream });
  metrics.streamNeverWritten.remove({ stream });
  for (const reason of idFaults) metrics.streamIdFault.remove({ stream, reason });
  metrics.deadLetterEntries.remove();
  metrics.deadLetterOldest.remove();
  metrics.groupLagKnown.set(labels, 0);
  for (const gauge of [
    metrics.groupLag,
    metrics.groupLagSeconds,
    metrics.groupPending,
    metrics.groupPendingOldest,
  ]) {
    gauge.remove(labels);
  }
}

/** Exports Redis's counts of the dead-letter stream; drops are the total of all instances. */
export function showDeadLetters(
  metrics: Metrics,
  stream: string,
  totals: { readonly bytes: number | null; readonly droppedEntries: number },
): void {
  show(metrics.deadLetterBytes, { stream }, totals.bytes);
  // Redis stores the total: a new process does not start at 0, and a lost reply loses no count.
  metrics.deadLettersDropped.set({ stream }, totals.droppedEntries);
}

interface InstanceSample {
  readonly inFlightRecords: number;
  readonly bufferedRecords: number;
  readonly residual: number;
  readonly deadLettersWaiting: number;
  readonly devices: number;
  readonly retryBudgets: Readonly<Record<Dependency, number>>;
  readonly pool: { readonly total: number; readonly idle: number; readonly waiting: number };
}

/** Exports the current state of this instance. */
export function showInstance(metrics: Metrics, sample: InstanceSample): void {
  metrics.inFlightRecords.set(sample.inFlightRecords);
  metrics.bufferRecords.set(sample.bufferedRecords);
  metrics.conservationResidual.set(sample.residual);
  metrics.deadLettersWaiting.set(sample.deadLettersWaiting);
  metrics.deviceStateEntries.set(sample.devices);
  metrics.poolConnections.set({ state: 'busy' }, sample.pool.total - sample.pool.idle);
  metrics.poolConnections.set({ state: 'idle' }, sample.pool.idle);
  for (const dependency of dependencies) {
    metrics.retryBudget.set({ dependency }, sample.retryBudgets[dependency]);
  }
  metrics.poolWaiting.set(sample.pool.waiting);
}
