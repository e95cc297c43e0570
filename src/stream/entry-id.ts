import type { IdFault } from '../core/types.ts';

/**
 * Compares two entry ids (`<milliseconds>-<sequence>`, each of 64 bits) exactly: as digits, because
 * a JavaScript number is exact only up to 2^53. @returns below 0, 0 or above 0
 */
export function compareIds(a: string, b: string): number {
  const [aMs = '', aSequence = '0'] = a.split('-');
  const [bMs = '', bSequence = '0'] = b.split('-');
  return compareDigits(aMs, bMs) || compareDigits(aSequence, bSequence);
}

/** Compares whole numbers without leading zeros, as Redis prints them. */
function compareDigits(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The highest possible id: no entry can follow it, and Redis refuses a range that starts after it. */
export const maxEntryId = '18446744073709551615-18446744073709551615';

/** Start of the range after an entry; null after the highest possible id. */
export function rangeAfter(id: string): string | null {
  return id === maxEntryId ? null : `(${id}`;
}

const maxAheadMs = 3_600_000;
const maxBehindMs = 3653 * 86_400_000;

/** Why this id is not the time its entry was added; null if it can be. `0-0` belongs to no entry. */
export function idFault(id: string, nowMs: number): IdFault | null {
  return faultOf(id, Number.parseInt(id, 10), nowMs);
}

function faultOf(id: string, ms: number, nowMs: number): IdFault | null {
  if (id === '0-0') return null;
  if (id === maxEntryId) return 'exhausted';
  if (ms > nowMs + maxAheadMs) return 'future';
  return ms < nowMs - maxBehindMs ? 'past' : null;
}

/** When the entry was added, in epoch milliseconds; null if its id is not a time. */
export function entryTimeMs(id: string, nowMs: number): number | null {
  const ms = Number.parseInt(id, 10);
  return faultOf(id, ms, nowMs) === null ? ms : null;
}
