import { type Moment, momentOf, type Sample, type StreamSample } from './sample.ts';

/** What two samples of a stream together show; null where they cannot. */
export interface Flow {
  /** Entries a second. */
  readonly added: number | null;
  readonly delivered: number | null;
  /** Time until trimming takes unread entries at the current pace; null while it comes no nearer. */
  readonly trimmingReachesMs: number | null;
}

/** The flow of all streams together: sums, and the first one that trimming reaches. */
export interface Rates extends Flow {
  /** Records a second, over the instances that were named. */
  readonly records: number | null;
  readonly streams: ReadonlyMap<number | null, Flow>;
}

export const noFlow: Flow = { added: null, delivered: null, trimmingReachesMs: null };
export const noRates: Rates = { ...noFlow, records: null, streams: new Map() };

export function ratesOf(before: Sample | null, now: Sample): Rates {
  if (before === null) return noRates;
  const seconds = (now.atMs - before.atMs) / 1000;
  if (!(seconds > 0)) return noRates;
  const streams = new Map<number | null, Flow>();
  for (const { shard } of now.streams) {
    const flow = flowBetween(momentOf(before, shard), momentOf(now, shard), seconds);
    if (flow !== null) streams.set(shard, flow);
  }
  return { ...sumOf([...streams.values()]), records: recordRate(before, now, seconds), streams };
}

/** @returns null when one of them did not answer */
function flowBetween(before: Moment | null, now: Moment | null, seconds: number): Flow | null {
  if (before?.stream.kind !== 'seen' || now?.stream.kind !== 'seen') return null;
  const [a, b] = [before.stream.value, now.stream.value];
  return {
    added: rate(a.progress.added, b.progress.added, seconds),
    delivered: rate(a.progress.read, b.progress.read, seconds),
    trimmingReachesMs: reaches(a, b, seconds),
  };
}

function sumOf(flows: readonly Flow[]): Flow {
  const reached = flows.flatMap(({ trimmingReachesMs }) => trimmingReachesMs ?? []);
  return {
    added: sumOrNull(flows.map(({ added }) => added)),
    delivered: sumOrNull(flows.map(({ delivered }) => delivered)),
    trimmingReachesMs: reached.length === 0 ? null : Math.min(...reached),
  };
}

/** The sum; null if there is nothing to sum, or one is unknown. */
export function sumOrNull(values: readonly (number | null)[]): number | null {
  let sum = 0;
  for (const value of values) {
    if (value === null) return null;
    sum += value;
  }
  return values.length === 0 ? null : sum;
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
