import { type Dependency, dependencies, type IdFault, idFaults } from '../core/types.ts';
import type { Metrics } from './metrics.ts';

interface BacklogSample {
  readonly length: number;
  readonly neverWritten: boolean;
  readonly lag: number | null;
  readonly lagAgeMs: number | null;
  readonly pending: number;
  readonly pendingOldestMs: number | null;
  readonly idFault: IdFault | null;
  readonly deadLetters: number;
  readonly deadLetterOldestMs: number;
}

/** Exports one sample of the stream; an unknown value is absent, never 0. */
export function showBacklog(
  metrics: Metrics,
  labels: { readonly stream: string; readonly group: string },
  backlog: BacklogSample,
): void {
  const { stream } = labels;
  metrics.streamLength.set({ stream }, backlog.length);
  metrics.streamNeverWritten.set({ stream }, backlog.neverWritten ? 1 : 0);
  metrics.groupLagKnown.set(labels, backlog.lag === null ? 0 : 1);
  if (backlog.lag === null) metrics.groupLag.remove(labels);
  else metrics.groupLag.set(labels, backlog.lag);
  if (backlog.lagAgeMs === null) metrics.groupLagSeconds.remove(labels);
  else metrics.groupLagSeconds.set(labels, backlog.lagAgeMs / 1000);
  metrics.groupPending.set(labels, backlog.pending);
  if (backlog.pendingOldestMs === null) metrics.groupPendingOldest.remove(labels);
  else metrics.groupPendingOldest.set(labels, backlog.pendingOldestMs / 1000);
  for (const reason of idFaults) {
    metrics.streamIdFault.set({ stream, reason }, backlog.idFault === reason ? 1 : 0);
  }
  metrics.deadLetterEntries.set(backlog.deadLetters);
  metrics.deadLetterOldest.set(backlog.deadLetterOldestMs / 1000);
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
  if (totals.bytes === null) metrics.deadLetterBytes.remove({ stream });
  else metrics.deadLetterBytes.set({ stream }, totals.bytes);
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
