import type { Sample, StreamSample } from './sample.ts';

/** What two samples together show; null where they cannot. */
export interface Rates {
  /** Entries a second. */
  readonly added: number | null;
  readonly delivered: number | null;
  /** Time until trimming takes unread entries at the current pace; null while it comes no nearer. */
  readonly trimmingReachesMs: number | null;
  /** Records a second, over the instances that were named. */
  readonly records: number | null;
}

export const noRates: Rates = {
  added: null,
  delivered: null,
  trimmingReachesMs: null,
  records: null,
};

export function ratesOf(before: Sample | null, now: Sample): Rates {
  if (before === null) return noRates;
  const seconds = (now.atMs - before.atMs) / 1000;
  if (!(seconds > 0)) return noRates;
  if (before.stream.kind !== 'seen' || now.stream.kind !== 'seen') {
    return { ...noRates, records: recordRate(before, now, seconds) };
  }
  const [a, b] = [before.stream.value, now.stream.value];
  const added = rate(a.progress.added, b.progress.added, seconds);
  const delivered = rate(a.progress.read, b.progress.read, seconds);
  return {
    added,
    delivered,
    trimmingReachesMs: reaches(a, b, seconds),
    records: recordRate(before, now, seconds),
  };
}

/** A counter that went back has started again. */
function rate(before: number | null, now: number | null, seconds: number): number | null {
  if (before === null || now === null || now < before) return null;
  return (now - before) / seconds;
}

/** Trimming takes the delivered entries that are still in the stream first. */
function reaches(
  { backlog: before }: StreamSample,
  { backlog: now }: StreamSample,
  seconds: number,
): number | null {
  if (before.lag === null || now.lag === null || now.lag === 0) return null;
  const behind = now.length - now.lag;
  const shrinks = (before.length - before.lag - behind) / seconds;
  return shrinks > 0 ? (behind / shrinks) * 1000 : null;
}

function recordRate(before: Sample, now: Sample, seconds: number): number | null {
  const sum = (sample: Sample) =>
    sample.instances.reduce(
      (total, answer) => total + (answer.kind === 'seen' ? answer.value.records : 0),
      0,
    );
  return now.instances.length === 0 ? null : rate(sum(before), sum(now), seconds);
}
