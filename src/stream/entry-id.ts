/**
 * Compares two entry ids (`<milliseconds>-<sequence>`, each of 64 bits) exactly: as digits, because
 * a number of JavaScript is exact up to 2^53 only. @returns below 0, 0 or above 0
 */
export function compareIds(a: string, b: string): number {
  const [aMs = '', aSequence = '0'] = a.split('-');
  const [bMs = '', bSequence = '0'] = b.split('-');
  return compareDigits(aMs, bMs) || compareDigits(aSequence, bSequence);
}

/** Whole numbers without leading zeros, as Redis prints them. */
function compareDigits(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
