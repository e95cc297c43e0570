/** `2026-01-02T03:04:05`, then a fraction of up to 3 digits, then the zone. */
const secondsEnd = 19;
const separators: ReadonlyArray<readonly [at: number, code: number]> = [
  [4, 0x2d],
  [7, 0x2d],
  [10, 0x54],
  [13, 0x3a],
  [16, 0x3a],
];

/**
 * Epoch milliseconds of an ISO 8601 time in UTC, or null.
 *
 * Taken: `YYYY-MM-DDTHH:MM:SS`, 0 to 3 fraction digits, then `Z` or `+00:00`. The date must be
 * in the calendar; second 60, hour 24, lower case and any other zone are refused. `Date.parse`
 * would take local times, 31 February and a dozen free forms.
 */
export function parseIsoMs(text: string): number | null {
  if (text !== last.text) {
    last.text = text;
    last.ms = readIsoMs(text);
  }
  return last.ms;
}

/** A payload repeats its entry's time, so every second time is the one before. */
const last: { text: string; ms: number | null } = { text: '', ms: null };

function readIsoMs(text: string): number | null {
  if (text.length < secondsEnd + 1 || text.length > secondsEnd + 10) return null;
  for (const [at, code] of separators) {
    if (text.charCodeAt(at) !== code) return null;
  }
  const year = digits(text, 0, 4);
  const month = digits(text, 5, 7);
  const day = digits(text, 8, 10);
  const hour = digits(text, 11, 13);
  const minute = digits(text, 14, 16);
  const second = digits(text, 17, 19);
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return null;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return null;

  let zoneAt = secondsEnd;
  let millisecond = 0;
  if (text.charCodeAt(zoneAt) === 0x2e) {
    zoneAt = fractionEnd(text);
    const places = zoneAt - secondsEnd - 1;
    if (places < 1 || places > 3) return null;
    millisecond = digits(text, secondsEnd + 1, zoneAt) * 10 ** (3 - places);
  }
  if (!isUtc(text, zoneAt)) return null;
  return (
    daysFromEpoch(year, month, day) * 86_400_000 +
    hour * 3_600_000 +
    minute * 60_000 +
    second * 1000 +
    millisecond
  );
}

/** The number that the digits from `start` to `end` write; -1 if one of them is no digit. */
function digits(text: string, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function fractionEnd(text: string): number {
  let at = secondsEnd + 1;
  while (at < text.length && digits(text, at, at + 1) >= 0) at++;
  return at;
}

function isUtc(text: string, zoneAt: number): boolean {
  if (text.length === zoneAt + 1) return text.charCodeAt(zoneAt) === 0x5a;
  return text.length === zoneAt + 6 && text.endsWith('+00:00');
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March. */
function daysFromEpoch(year: number, month: number, day: number): number {
  const marchYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}
