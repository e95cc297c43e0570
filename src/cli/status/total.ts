import type { Backlog } from '../../stream/backlog.ts';
import type { ConsumerView } from '../../stream/group-view.ts';
import type { Losses } from '../../stream/losses.ts';
import { sumOrNull } from './rates.ts';
import type { Sample, StreamSample } from './sample.ts';

/** The streams that answered, together: sums, the oldest ages, the consumers by name. */
export interface StreamTotal
  extends Pick<StreamSample, 'backlog' | 'pause' | 'suspects' | 'losses'> {
  readonly consumers: readonly ConsumerView[];
  readonly pending: number;
}

/** @returns null when none answered */
export function totalOf({ streams }: Pick<Sample, 'streams'>): StreamTotal | null {
  const seen = streams.flatMap(({ stream }) => (stream.kind === 'seen' ? [stream.value] : []));
  if (seen.length === 0) return null;
  return {
    backlog: backlogOf(seen.map(({ backlog }) => backlog)),
    consumers: consumersOf(seen.flatMap(({ progress }) => progress.consumers)),
    pending: sum(seen.map(({ progress }) => progress.pending)),
    // One command usually pauses all shards.
    pause: seen.find(({ pause }) => pause !== null)?.pause ?? null,
    suspects: sum(seen.map(({ suspects }) => suspects)),
    losses: lossesOf(seen.flatMap(({ losses }) => losses ?? [])),
  };
}

function backlogOf(parts: readonly Backlog[]): Backlog {
  const sumBy = (pick: (part: Backlog) => number) => sum(parts.map(pick));
  return {
    length: sumBy(({ length }) => length),
    neverWritten: parts.every(({ neverWritten }) => neverWritten),
    lag: sumOrNull(parts.map(({ lag }) => lag)),
    lagAgeMs: maxOrNull(parts.map(({ lagAgeMs }) => lagAgeMs)),
    pending: sumBy(({ pending }) => pending),
    pendingOldestMs: maxOrNull(parts.map(({ pendingOldestMs }) => pendingOldestMs)),
    idFault: parts.find(({ idFault }) => idFault !== null)?.idFault ?? null,
    deadLetters: sumBy(({ deadLetters }) => deadLetters),
    deadLetterOldestMs: Math.max(...parts.map(({ deadLetterOldestMs }) => deadLetterOldestMs)),
  };
}

/** A consumer holds what it holds in all shards, and asked when it last asked any. */
function consumersOf(views: readonly ConsumerView[]): ConsumerView[] {
  const byName = new Map<string, ConsumerView>();
  for (const view of views) {
    const before = byName.get(view.name);
    byName.set(view.name, before === undefined ? view : join(before, view));
  }
  return [...byName.values()];
}

function join(a: ConsumerView, b: ConsumerView): ConsumerView {
  const inactive = [a.inactiveMs, b.inactiveMs].filter((ms) => ms !== null);
  return {
    name: a.name,
    pending: a.pending + b.pending,
    idleMs: Math.min(a.idleMs, b.idleMs),
    inactiveMs: inactive.length === 0 ? null : Math.min(...inactive),
  };
}

function lossesOf(losses: readonly Losses[]): Losses | null {
  if (losses.length === 0) return null;
  return {
    entries: {
      trimmed_undelivered: sum(losses.map(({ entries }) => entries.trimmed_undelivered)),
      trimmed_pending: sum(losses.map(({ entries }) => entries.trimmed_pending)),
    },
    lastMs: Math.max(...losses.map(({ lastMs }) => lastMs)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function maxOrNull(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length < values.length ? null : Math.max(...known);
}
