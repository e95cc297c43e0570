import type { Batch, HeldEntry, Logger, Outcomes, PipelineEvents } from '../core/types.ts';
import type { Metrics } from './metrics.ts';

/** Maximum rejections logged in a minute; all are counted. */
const rejectionsPerMinute = 60;

export interface EventOptions {
  readonly now: () => number;
  /** When an entry was added; null if its id is not a timestamp. */
  readonly entryTimeMs: (id: string, nowMs: number) => number | null;
}

/** Events of the pipeline as metrics and, where an operator should know, as log lines. */
export function createPipelineEvents(
  metrics: Metrics,
  log: Logger,
  options: EventOptions,
): PipelineEvents {
  const mayLog = limitPerMinute(rejectionsPerMinute, options.now);
  return {
    read(entries) {
      // One read brings entries of one source.
      const source = entries[0]?.source;
      if (source !== undefined) metrics.entriesRead.inc({ source }, entries.length);
      metrics.lastRead.set(options.now() / 1000);
    },
    interpreted(durationMs) {
      metrics.stageDuration.observe({ stage: 'interpret' }, durationMs / 1000);
    },
    rejected(held) {
      for (const rejection of held.rejections) {
        metrics.deadLetters.inc({ reason: rejection.reason });
        if (rejection.stage === 'decode') metrics.decodeErrors.inc({ reason: rejection.reason });
        if (!mayLog()) continue;
        const { stage, reason, message, recordIndex, offset } = rejection;
        log.warn(
          {
            entry_id: held.entry.id,
            stage,
            reason,
            detail: message,
            record_index: recordIndex,
            offset,
          },
          'record dead-lettered',
        );
      }
    },
    batch(batch, outcomes, durationMs, statements) {
      metrics.batches.inc({ closed_by: batch.closedBy });
      metrics.batchSize.observe(batch.rows.length);
      metrics.insertDuration.observe(durationMs / 1000);
      metrics.stageDuration.observe({ stage: 'insert' }, durationMs / 1000);
      metrics.statements.inc(statements);
      metrics.lastCommit.set(options.now() / 1000);
      metrics.dependencyUp.set({ dependency: 'database' }, 1);
      observeDeviceLatency(metrics, batch, outcomes, options.now());
      log.debug(
        {
          batch_id: batch.id,
          rows: batch.rows.length,
          first_entry_id: batch.owners[0]?.entry.id,
          closed_by: batch.closedBy,
          duration_ms: Math.round(durationMs),
          statements,
        },
        'batch written',
      );
    },
    isolated(entry, tries) {
      metrics.entriesInIsolation.inc();
      const { id, deliveries } = entry;
      log.warn(
        { entry_id: id, deliveries, tries },
        'entry delivered too often; processing it in isolation',
      );
    },
    late(records) {
      if (records > 0) metrics.lateRecords.inc(records);
    },
    acknowledged(entries, durationMs) {
      metrics.stageDuration.observe({ stage: 'acknowledge' }, durationMs / 1000);
      metrics.dependencyUp.set({ dependency: 'redis' }, 1);
      observeEntryLatency(metrics, entries, options);
    },
    paused(cause, durationMs) {
      metrics.backpressure.inc({ cause }, durationMs / 1000);
    },
  };
}

/** Every entry whose id is a clock. */
function observeEntryLatency(
  metrics: Metrics,
  entries: readonly HeldEntry[],
  { now, entryTimeMs }: EventOptions,
): void {
  const nowMs = now();
  const latency = metrics.endToEnd('entry');
  for (const { entry } of entries) {
    const enteredMs = entryTimeMs(entry.id, nowMs);
    if (enteredMs === null) continue;
    latency.observe(Math.max(0, nowMs - enteredMs) / 1000);
  }
}

/**
 * One record of each entry stands for the packet. Only rows that are new: a retransmission would
 * count the same record again, later. A device's clock may be ahead, which counts as 0.
 */
function observeDeviceLatency(
  metrics: Metrics,
  { rows, owners }: Batch,
  outcomes: Outcomes,
  nowMs: number,
): void {
  const latency = metrics.endToEnd('device');
  let last: HeldEntry | undefined;
  for (let index = 0; index < rows.length; index += 1) {
    const owner = owners[index];
    if (outcomes[index] !== 'inserted' || owner === last) continue;
    last = owner;
    latency.observe(Math.max(0, nowMs - (rows[index]?.ts ?? nowMs)) / 1000);
  }
}

function limitPerMinute(limit: number, now: () => number): () => boolean {
  let minute = 0;
  let used = 0;
  return () => {
    const current = Math.floor(now() / 60_000);
    if (current !== minute) {
      minute = current;
      used = 0;
    }
    used += 1;
    return used <= limit;
  };
}
