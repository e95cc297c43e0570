import type { InstanceView } from './instance.ts';
import { noFlow, type Rates } from './rates.ts';
import type { DatabaseSample, Sample } from './sample.ts';
import { type StreamTotal, totalOf } from './total.ts';
import type { Status } from './view.ts';

/** A status as one JSON object; the names are an interface. */
export function jsonOf({ sample, rates, attention, unreachable }: Status): object {
  const total = totalOf(sample);
  return {
    at: new Date(sample.atMs).toISOString(),
    attention,
    unreachable,
    stream: total === null ? null : streamJson(total),
    rates: {
      added_per_second: rates.added,
      delivered_per_second: rates.delivered,
      records_per_second: rates.records,
      trimming_reaches_unread_ms: rates.trimmingReachesMs,
    },
    ...shardsJson(sample, rates),
    database: sample.database.kind === 'seen' ? databaseJson(sample.database.value) : null,
    instances: sample.instances.flatMap((answer) =>
      answer.kind === 'seen' ? [instanceJson(answer.value)] : [],
    ),
  };
}

/** The shards that answered and those that did not; nothing without shards. */
function shardsJson({ streams }: Sample, rates: Rates): object {
  if (streams.some(({ shard }) => shard === null)) return {};
  const shards = streams.flatMap((part) => {
    const total = totalOf({ streams: [part] });
    if (total === null) return [];
    const { added, delivered, trimmingReachesMs } = rates.streams.get(part.shard) ?? noFlow;
    const flow = { added_per_second: added, delivered_per_second: delivered };
    const trimming = { trimming_reaches_unread_ms: trimmingReachesMs };
    return [{ shard: part.shard, ...streamJson(total), ...flow, ...trimming }];
  });
  const missing = streams.flatMap(({ shard, stream }) =>
    stream.kind === 'seen' ? [] : [{ shard, problem: stream.problem }],
  );
  return { shards, missing_shards: missing };
}

function databaseJson({ answerMs, pendingMigrations }: DatabaseSample): object {
  return { answer_ms: Math.round(answerMs), pending_migrations: pendingMigrations };
}

function streamJson(total: StreamTotal): object {
  const { backlog, consumers, pending, pause, suspects, losses } = total;
  return {
    length: backlog.length,
    lag: backlog.lag,
    lag_seconds: backlog.lagAgeMs === null ? null : backlog.lagAgeMs / 1000,
    pending,
    pending_oldest_seconds:
      backlog.pendingOldestMs === null ? null : backlog.pendingOldestMs / 1000,
    ids_no_clock: backlog.idFault,
    dead_letters: backlog.deadLetters,
    consumers: consumers.map(({ name, pending: held, idleMs }) => {
      return { name, pending: held, idle_ms: idleMs };
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
