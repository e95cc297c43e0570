import type { Sample } from './sample.ts';

/** What two looks together tell; null where they cannot. */
export interface Rates {
  /** Entries a second. */
  readonly added: number | null;
  readonly delivered: number | null;
  /** Until trimming takes entries that nobody has read; null while it does not come nearer. */
  readonly trimmingReachesMs: number | null;
  /** Rows a second by the instances asked. */
  readonly records: number | null;
}

export const noRates: Rates = {
  added: null,
  delivered: null,
  trimmingReachesMs: null,
  records: null,
};

export function ratesOf(before: Sample, now: Sample): Rates {
  const seconds = (now.atMs - before.atMs) / 1000;
  if (!(seconds > 0)) return noRates;
  if (before.stream.kind !== 'seen' || now.stream.kind !== 'seen') {
    return { ...noRates, records: recordRate(before, now, seconds) };
  }
  const [a, b] = [before.stream.value, now.stream.value];
  const added = rate(a.passed.added, b.passed.added, seconds);
  const delivered = rate(a.passed.read, b.passed.read, seconds);
  return {
    added,
    delivered,
    trimmingReachesMs: reaches(a.backlog, b.backlog, seconds),
    records: recordRate(before, now, seconds),
  };
}

/** Counters that went back began anew. */
function rate(before: number | null, now: number | null, seconds: number): number | null {
  if (before === null || now === null || now < before) return null;
  return (now - before) / seconds;
}

type Lengths = { readonly length: number; readonly lag: number | null };

/** Delivered entries still in the stream are what trimming takes first. */
function reaches(before: Lengths, now: Lengths, seconds: number): number | null {
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

/** What an operator should look at, in words; empty when all is well. */
export function attentionOf(
  now: Sample,
  rates: Rates,
  limits: { readonly claimThresholdMs: number; readonly lagSeconds: number },
): string[] {
  const words: string[] = [];
  if (now.stream.kind === 'seen') {
    const { backlog, pause, suspects } = now.stream.value;
    if (pause !== null) words.push(`paused by ${pause.by}: ${pause.reason}`);
    if ((backlog.lagAgeMs ?? 0) > limits.lagSeconds * 1000) {
      words.push(`lag is above ${limits.lagSeconds} s`);
    }
    const stuck = now.stream.value.consumers.filter(
      ({ pending, idleMs }) => pending > 0 && idleMs > limits.claimThresholdMs * 2,
    );
    for (const { name, pending } of stuck) words.push(`${pending} entries stuck with ${name}`);
    if (suspects > 0) words.push(`${suspects} entries are tried alone`);
  }
  if (rates.trimmingReachesMs !== null) words.push('trimming comes nearer to what nobody has read');
  if (now.database.kind === 'seen' && now.database.value.pendingMigrations > 0) {
    words.push(`${now.database.value.pendingMigrations} migrations are pending`);
  }
  for (const answer of now.instances) {
    if (answer.kind !== 'seen') continue;
    for (const breaker of answer.value.breakers) words.push(`breaker: ${breaker}`);
  }
  return words;
}

/** Parts that did not answer. */
export function unreachableOf(now: Sample): string[] {
  return [now.stream, now.database, ...now.instances].flatMap((answer) =>
    answer.kind === 'unreachable' ? [`${answer.who}: ${answer.problem}`] : [],
  );
}
