import { isTrimReached, uncountedLoss } from '../../stream/group-progress.ts';
import type { Losses } from '../../stream/losses.ts';
import { countText, durationText, plural } from '../format.ts';
import { idFaultText } from '../id-fault.ts';
import { shardsText } from '../shard-text.ts';
import type { InstanceView } from './instance.ts';
import { stallMs, stallsBetween, trimmedUnread } from './movement.ts';
import { type Flow, noFlow, type Rates } from './rates.ts';
import { type Moment, momentOf, type Sample, type StreamSample } from './sample.ts';

export interface Limits {
  /** Age of the oldest unread entry. */
  readonly lagSeconds: number;
  /** A living instance asks more often than this while entries wait. */
  readonly silentMs: number;
  /** After so long some instance should have claimed an orphaned entry. */
  readonly claimMs: number;
}

/** The limits that follow from the service's own configuration. */
export function limitsOf(
  stream: {
    readonly blockMs: number;
    readonly claimThresholdMs: number;
    readonly claimIntervalMs: number;
  },
  lagSeconds: number,
): Limits {
  return {
    lagSeconds,
    silentMs: Math.max(5 * stream.blockMs, 5000),
    // The cadence of claim runs has a jitter of a quarter.
    claimMs: stream.claimThresholdMs + 1.25 * stream.claimIntervalMs + 5 * stream.blockMs,
  };
}

/** The samples that a status is derived from. */
export interface Samples {
  readonly before: Sample | null;
  /** One that is at least `stallMs` old, where there is one. */
  readonly older: Sample | null;
  readonly now: Sample;
  readonly rates: Rates;
}

/** Findings that need an operator, the most urgent first; empty when all is well. */
export function attentionOf(samples: Samples, limits: Limits): string[] {
  const { now } = samples;
  return [
    ...streamFindings(samples, limits),
    ...now.instances.flatMap((answer) =>
      answer.kind === 'seen' ? instanceFindings(answer.value) : [],
    ),
    ...databaseFindings(now),
  ];
}

/** The findings of all streams by kind; shards with the same finding are named together. */
function streamFindings(samples: Samples, limits: Limits): string[] {
  const { now } = samples;
  const kinds: ShardFinding[][] = [];
  for (const { shard } of now.streams) {
    for (const [kind, texts] of findingsOf(samples, shard, limits).entries()) {
      const found = texts.map((text) => ({ shard, text }));
      kinds[kind] = [...(kinds[kind] ?? []), ...found];
    }
  }
  return kinds.flatMap((found) => joinShards(found));
}

/** The findings of one stream, a list for each kind. */
function findingsOf(
  { before: sampleBefore, older: sampleOlder, now: sample, rates }: Samples,
  shard: number | null,
  limits: Limits,
): readonly string[][] {
  const of = (one: Sample | null) => (one === null ? null : momentOf(one, shard));
  const [before, older, now] = [of(sampleBefore), of(sampleOlder), of(sample)];
  if (now === null) return [];
  return [
    lossFindings(before, now),
    idFindings(now),
    flowFindings(before, now, limits),
    older !== null && now.atMs - older.atMs >= stallMs ? stallsBetween(older, now) : [],
    trimmingFindings(now, rates.streams.get(shard) ?? noFlow),
  ];
}

interface ShardFinding {
  readonly shard: number | null;
  readonly text: string;
}

/** One line for each text, with the shards that it is of before it. */
function joinShards(found: readonly ShardFinding[]): string[] {
  const texts = new Map<string, number[]>();
  for (const { shard, text } of found) {
    texts.set(text, [...(texts.get(text) ?? []), ...(shard === null ? [] : [shard])]);
  }
  return [...texts].map(([text, shards]) =>
    shards.length === 0 ? text : `${shardsText(shards)}: ${text}`,
  );
}

function idFindings({ stream }: Moment): string[] {
  const fault = stream.kind === 'seen' ? stream.value.backlog.idFault : null;
  return fault === null ? [] : [idFaultText(fault)];
}

function lossFindings(before: Moment | null, now: Moment): string[] {
  if (now.stream.kind !== 'seen') return [];
  const { progress, losses } = now.stream.value;
  const findings: string[] = [];
  const going = before === null ? null : trimmedUnread(before, now);
  if (before !== null && going !== null && going > 0) {
    findings.push(
      `unread entries are being trimmed now: ${countText(going)} in ${durationText(now.atMs - before.atMs)}`,
    );
  }
  const uncounted = uncountedLoss(progress);
  if (uncounted > 0) {
    const were = plural(uncounted, 'entry was', 'entries were');
    findings.push(`${were} trimmed before any instance read them`);
  } else if (isTrimReached(progress) && progress.deliveredId !== '0-0' && going === null) {
    findings.push('trimming has reached unread entries: the next trim loses some');
  }
  if (losses !== null) findings.push(lossText(losses, now.atMs));
  return findings;
}

/** As ProcessorLagWillHitTrim: within half an hour, and not for a lag of a moment. */
function trimmingFindings({ stream }: Moment, { trimmingReachesMs }: Flow): string[] {
  if (stream.kind !== 'seen' || trimmingReachesMs === null) return [];
  const { lag, length } = stream.value.backlog;
  // Then the loss itself is reported.
  if (isTrimReached(stream.value.progress)) return [];
  if (trimmingReachesMs > 1_800_000 || lag === null || lag <= length / 10) return [];
  return [`trimming reaches unread entries in ${durationText(trimmingReachesMs)}`];
}

function lossText({ entries, lastMs }: Losses, nowMs: number): string {
  const { trimmed_undelivered: unread, trimmed_pending: pending } = entries;
  const total = unread + pending;
  const causes = [
    ...(unread > 0 ? [`trimmed unread: ${countText(unread)}`] : []),
    ...(pending > 0 ? [`trimmed while pending: ${countText(pending)}`] : []),
  ];
  const since = durationText(Math.max(0, nowMs - lastMs));
  return `${plural(total, 'entry was', 'entries were')} lost, the last ${since} ago (${causes.join(', ')})`;
}

function flowFindings(before: Moment | null, now: Moment, limits: Limits): string[] {
  if (now.stream.kind === 'absent') return [now.stream.problem];
  if (now.stream.kind !== 'seen') return [];
  const stream = now.stream.value;
  const { pause } = stream;
  return [
    ...(pause === null ? [] : [`paused by ${pause.by}: ${pause.reason}`]),
    ...(before?.stream.kind === 'seen' ? silenceFindings(before.stream.value, stream, limits) : []),
    ...lagFindings(stream, limits),
    ...claimFindings(stream, limits),
  ];
}

function lagFindings({ backlog }: StreamSample, { lagSeconds }: Limits): string[] {
  const limitMs = lagSeconds * 1000;
  return [
    ...((backlog.lagAgeMs ?? 0) > limitMs
      ? [`the oldest unread entry waits for more than ${durationText(limitMs)}`]
      : []),
    ...(backlog.lag === null
      ? ['the lag cannot be counted: entries were deleted from the middle of the stream']
      : []),
  ];
}

function claimFindings({ progress, suspects }: StreamSample, { claimMs }: Limits): string[] {
  const { unclaimedMs } = progress;
  const isolated = plural(suspects, 'entry is', 'entries are');
  return [
    ...(unclaimedMs > claimMs
      ? [`an entry is pending for ${durationText(unclaimedMs)} and no instance claims it`]
      : []),
    ...(suspects > 0
      ? [
          `${isolated} processed in isolation: instances crashed on ${suspects === 1 ? 'it' : 'them'}`,
        ]
      : []),
  ];
}

/**
 * Consumers that have stopped asking while there is work for them. Both samples must agree: an
 * idle service asks once in a block time, and its first entry may come right before a sample.
 */
function silenceFindings(before: StreamSample, now: StreamSample, { silentMs }: Limits): string[] {
  const { consumers } = now.progress;
  const waited = Math.min(before.backlog.lag ?? 1, now.backlog.lag ?? 1);
  const newestMs = Math.min(...consumers.map(({ idleMs }) => idleMs));
  if (waited > 0 && now.pause === null && consumers.length > 0 && newestMs > silentMs) {
    const lag = now.backlog.lag === null ? 'entries' : plural(now.backlog.lag, 'entry', 'entries');
    const wait = now.backlog.lag === 1 ? 'waits' : 'wait';
    return [
      `no instance reads: the last one asked ${durationText(newestMs)} ago, and ${lag} ${wait}`,
    ];
  }
  const held = new Map(before.progress.consumers.map(({ name, pending }) => [name, pending]));
  return consumers.flatMap(({ name, pending, idleMs }) => {
    if (pending === 0 || (held.get(name) ?? 0) === 0 || idleMs <= silentMs) return [];
    return [
      `${name} has been silent for ${durationText(idleMs)} and holds ${plural(pending, 'entry', 'entries')}`,
    ];
  });
}

function instanceFindings({ url, ready, breakers, lostEntries }: InstanceView): string[] {
  const { host } = new URL(url);
  return [
    ...(ready.ok ? [] : [`${host} is not ready: ${ready.reasons.join(', ')}`]),
    ...breakers.map((breaker) => `${host}: circuit breaker of ${breaker}`),
    ...(lostEntries > 0
      ? [
          `${host} has counted ${plural(lostEntries, 'lost entry', 'lost entries')} since it started`,
        ]
      : []),
  ];
}

function databaseFindings({ database }: Sample): string[] {
  if (database.kind !== 'seen' || database.value.pendingMigrations === 0) return [];
  const { pendingMigrations: count } = database.value;
  return [`${plural(count, 'migration is', 'migrations are')} pending: processor migrate status`];
}

/** Parts that did not answer; shards with the same problem are named together. */
export function unreachableOf({ streams, database, instances }: Sample): string[] {
  const shards = streams.flatMap(({ shard, stream }) =>
    stream.kind === 'unreachable' && shard !== null ? [{ shard, text: stream.problem }] : [],
  );
  const whole = streams.flatMap(({ shard, stream }) => (shard === null ? [stream] : []));
  const others = [...whole, database, ...instances].flatMap((answer) =>
    answer.kind === 'unreachable' ? [`${answer.who}: ${answer.problem}`] : [],
  );
  return [...joinShards(shards), ...others];
}
