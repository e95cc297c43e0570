import type { InstanceView } from './instance.ts';
import type { DatabaseSample, StreamSample } from './sample.ts';
import type { Status } from './view.ts';

/** A status as one JSON object; the names are an interface. */
export function jsonOf({ sample, rates, attention, unreachable }: Status): object {
  return {
    at: new Date(sample.atMs).toISOString(),
    attention,
    unreachable,
    stream: sample.stream.kind === 'seen' ? streamJson(sample.stream.value) : null,
    rates: {
      added_per_second: rates.added,
      delivered_per_second: rates.delivered,
      records_per_second: rates.records,
      trimming_reaches_unread_ms: rates.trimmingReachesMs,
    },
    database: sample.database.kind === 'seen' ? databaseJson(sample.database.value) : null,
    instances: sample.instances.flatMap((answer) =>
      answer.kind === 'seen' ? [instanceJson(answer.value)] : [],
    ),
  };
}

function databaseJson({ answerMs, pendingMigrations }: DatabaseSample): object {
  return { answer_ms: Math.round(answerMs), pending_migrations: pendingMigrations };
}

function streamJson({ backlog, progress, pause, suspects, losses }: StreamSample): object {
  return {
    length: backlog.length,
    lag: backlog.lag,
    lag_seconds: backlog.lagAgeMs === null ? null : backlog.lagAgeMs / 1000,
    pending: progress.pending,
    pending_oldest_seconds:
      backlog.pendingOldestMs === null ? null : backlog.pendingOldestMs / 1000,
    ids_no_clock: backlog.idFault,
    dead_letters: backlog.deadLetters,
    consumers: progress.consumers.map(({ name, pending, idleMs }) => {
      return { name, pending, idle_ms: idleMs };
    }),
    pause,
    suspects,
    lost: losses && { ...losses.entries, last_at: new Date(losses.lastMs).toISOString() },
  };
}

function instanceJson(view: InstanceView): object {
  const { url, ready, records, inFlight, residentBytes, rowsPerBatch, breakers } = view;
  const { isPaused, lastCommitMs, lostEntries } = view;
  return {
    url,
    ready: ready.ok,
    not_ready: ready.reasons,
    records,
    in_flight: inFlight,
    resident_bytes: residentBytes,
    rows_per_batch: rowsPerBatch,
    breakers,
    paused: isPaused,
    lost_entries: lostEntries,
    last_commit_at: lastCommitMs === null ? null : new Date(lastCommitMs).toISOString(),
  };
}
