import type { BacklogSample } from './sampling.ts';

/**
 * Combines the samples of all streams: sums, and the worst age and flag. A sum is unknown while one
 * part is unknown; the worst is that of the known parts.
 * @param samples null where a stream could not be sampled
 * @returns null if none could be sampled
 */
export function sumBacklogs(samples: readonly (BacklogSample | null)[]): BacklogSample | null {
  const known = samples.filter((sample) => sample !== null);
  if (known.length === 0) return null;
  const sum = (of: (sample: BacklogSample) => number | null) => sumOf(samples, of);
  const max = (of: (sample: BacklogSample) => number | null) => maxOf(known, of);
  return {
    length: sum(({ length }) => length),
    // A shard without devices is never written to.
    neverWritten: known.every(({ neverWritten }) => neverWritten),
    lag: sum(({ lag }) => lag),
    lagAgeMs: max(({ lagAgeMs }) => lagAgeMs),
    pending: sum(({ pending }) => pending),
    pendingOldestMs: max(({ pendingOldestMs }) => pendingOldestMs),
    idFault: known.find(({ idFault }) => idFault !== null)?.idFault ?? null,
    deadLetters: sum(({ deadLetters }) => deadLetters),
    deadLetterOldestMs: max(({ deadLetterOldestMs }) => deadLetterOldestMs) ?? 0,
  };
}

function sumOf<Sample>(
  samples: readonly (Sample | null)[],
  of: (sample: Sample) => number | null,
): number | null {
  let sum = 0;
  for (const sample of samples) {
    const value = sample === null ? null : of(sample);
    if (value === null) return null;
    sum += value;
  }
  return sum;
}

/** Null if no value is known. */
function maxOf<Sample>(samples: readonly Sample[], of: (sample: Sample) => number | null) {
  const values = samples.map(of).filter((value) => value !== null);
  return values.length === 0 ? null : Math.max(...values);
}
