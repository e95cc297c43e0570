/** Bounds of the pauses between attempts, before jitter. */
export interface BackoffLimits {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * Returns the pause after a failed attempt, in milliseconds: `minMs` after the first, doubled after
 * each further one, at most `maxMs`. A jitter of ±50 % keeps loops and instances from retrying in
 * step, so a pause lasts at most 1.5 times `maxMs`.
 * @param attempt counts from 1
 */
export function backoffMs(
  attempt: number,
  { minMs, maxMs }: BackoffLimits,
  random: () => number = Math.random,
): number {
  const pauseMs = Math.min(maxMs, minMs * 2 ** (attempt - 1));
  return pauseMs * (0.5 + random());
}
