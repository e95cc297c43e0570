import type {
  Batch,
  HeldEntry,
  Logger,
  Outcomes,
  ReadingEvents,
  WritingEvents,
} from '../core/types.ts';
import type { Metrics } from './metrics.ts';

/** Maximum rejections logged in a minute; all are counted. */
const rejectionsPerMinute = 60;

export interface EventOptions {
  readonly now: () => number;
  /** When an entry was added; null if its id is not a timestamp. */
  readonly entryTimeMs: (id: string, nowMs: number) => number | null;
  /** Whether one more rejection is logged. */
  readonly mayLog: () => boolean;
  /** Null without shards. */
  readonly shard: number | null;
  /** Redis has answered. */
  readonly redisAnswered: () => void;
}

/** Limits the rejections that are logged, those of all streams together. */
export function limitRejections(now: () => number): () => boolean {
  return limitPerMinute(rejectionsPerMinute, now);
}

/** Events of one stream as metrics and, where an operator should know, as log lines. */
export function createReadingEvents(
  metrics: Metrics,
  log: Logger,
  options: EventOptions,
): ReadingEvents {
  const { mayLog } = options;
  const ofShard = shardCounters(metrics, options.shard);
  return {
    read(entries) {
      // One read brings entries of one source.
      const source = entries[0]?.source;
      if (source !== undefined) metrics.entriesRead.inc({ source }, entries.length);
      ofShard?.read.inc(entries.length);
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
    isolated(entry, tries) {
      metrics.entriesInIsolation.inc();
      const { id, deliveries } = entry;
      log.warn(
        { entry_id: id, deliveries, tries },
        'entry delivered too often; processing it in isolation',
      );
    },
    acknowledged(entries, durationMs) {
      metrics.stageDuration.observe({ stage: 'acknowledge' }, durationMs / 1000);
      options.redisAnswered();
      ofShard?.settled.inc(entries.reduce((sum, { records }) => sum + records, 0));
      observeEntryLatency(metrics, entries, options);
    },
    paused(cause, durationMs) {
      metrics.backpressure.inc({ cause }, durationMs / 1000);
    },
  };
}

function shardCounters({ shards }: Metrics, shard: number | null) {
  if (shards === null || shard === null) return null;
  const labels = { shard: String(shard) };
  return {
    read: shards.entriesRead.labels(labels),
    settled: shards.recordsSettled.labels(labels),
  };
}

/** Events of the writing side as metrics and log lines. */
export function createWritingEvents(
  metrics: Metrics,
  log: Logger,
  { now }: Pick<EventOptions, 'now'>,
): WritingEvents {
  return {
    batch(batch, outcomes, durationMs, statements) {
      metrics.batches.inc({ closed_by: batch.closedBy });
      metrics.batchSize.observe(batch.rows.length);
      metrics.insertDuration.observe(durationMs / 1000);
      metrics.stageDuration.observe({ stage: 'insert' }, durationMs / 1000);
      metrics.statements.inc(statements);
      metrics.lastCommit.set(now() / 1000);
      metrics.dependencyUp.set({ dependency: 'database' }, 1);
      observeDeviceLatency(metrics, batch, outcomes, now());
      const [first] = batch.owners;
      const shard = first?.origin.shard ?? null;
      log.debug(
        {
          batch_id: batch.id,
          rows: batch.rows.length,
          first_entry_id: first?.entry.id,
          ...(shard !== null && { shard }),
          closed_by: batch.closedBy,
          duration_ms: Math.round(durationMs),
          statements,
        },
        'batch written',
      );
    },
    late(records) {
      if (records > 0) metrics.lateRecords.inc(records);
    },
  };
}

/** Every entry whose id is a clock. */
function observeEntryLatency(
  metrics: Metrics,
  entries: readonly HeldEntry[],
  { now, entryTimeMs }: Pick<EventOptions, 'now' | 'entryTimeMs'>,
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

/** Allows `limit` calls in each minute. */
export function limitPerMinute(limit: number, now: () => number): () => boolean {
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
