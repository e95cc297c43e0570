import { u8 } from './bytes.ts';

/** `2026-01-02T03:04:05`, then a fraction of up to 3 digits, then the zone. */
const secondsEnd = 19;
/** The longest form: three digits of a fraction and `+00:00`. */
const maxCharacters = 29;

const dash = 0x2d;
const colon = 0x3a;
const dot = 0x2e;
const letterT = 0x54;
const letterZ = 0x5a;
const zero = 0x30;
const offsetZero = Buffer.from('+00:00', 'latin1');

/**
 * Epoch milliseconds of an ISO 8601 time in UTC, or null.
 *
 * Taken: `YYYY-MM-DDTHH:MM:SS`, 0 to 3 fraction digits, then `Z` or `+00:00`. The date must be
 * in the calendar; second 60, hour 24, lower case and any other zone are refused. `Date.parse`
 * would take local times, 31 February and a dozen free forms.
 */
export function parseIsoMs(text: string): number | null {
  if (text.length > maxCharacters) return null;
  // In UTF-8 no other character has a byte of ASCII.
  const bytes = Buffer.from(text, 'utf8');
  return isoMsAt(bytes, 0, bytes.length);
}

/** The same of the bytes from `start` to `end`, without a text. */
export function isoMsAt(bytes: Buffer, start: number, end: number): number | null {
  const length = end - start;
  if (length <= secondsEnd || length > maxCharacters || !hasSeparators(bytes, start)) return null;
  const century = twoDigits(bytes, start);
  const yearOfCentury = twoDigits(bytes, start + 2);
  const month = twoDigits(bytes, start + 5);
  const day = twoDigits(bytes, start + 8);
  const hour = twoDigits(bytes, start + 11);
  const minute = twoDigits(bytes, start + 14);
  const second = twoDigits(bytes, start + 17);
  if (century < 0 || yearOfCentury < 0) return null;
  const year = century * 100 + yearOfCentury;
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return null;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return null;
  const millisecond = fractionMs(bytes, start + secondsEnd, end);
  if (millisecond < 0) return null;
  return (
    daysFromEpoch(year, month, day) * 86_400_000 +
    (hour * 3600 + minute * 60 + second) * 1000 +
    millisecond
  );
}

function hasSeparators(bytes: Buffer, start: number): boolean {
  return (
    u8(bytes, start + 4) === dash &&
    u8(bytes, start + 7) === dash &&
    u8(bytes, start + 10) === letterT &&
    u8(bytes, start + 13) === colon &&
    u8(bytes, start + 16) === colon
  );
}

/** The number that two digits write; -1 if one of them is no digit. */
function twoDigits(bytes: Buffer, at: number): number {
  const tens = u8(bytes, at) - zero;
  const ones = u8(bytes, at + 1) - zero;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

/** Milliseconds of an optional fraction of 1 to 3 digits before the zone; -1 for anything else. */
function fractionMs(bytes: Buffer, from: number, end: number): number {
  if (u8(bytes, from) !== dot) return isUtc(bytes, from, end) ? 0 : -1;
  let milliseconds = 0;
  let at = from + 1;
  for (let unit = 100; unit >= 1; unit = Math.trunc(unit / 10), at += 1) {
    const digit = u8(bytes, at) - zero;
    if (digit < 0 || digit > 9) break;
    milliseconds += digit * unit;
  }
  return at > from + 1 && isUtc(bytes, at, end) ? milliseconds : -1;
}

function isUtc(bytes: Buffer, zoneAt: number, end: number): boolean {
  if (end === zoneAt + 1) return u8(bytes, zoneAt) === letterZ;
  if (end !== zoneAt + offsetZero.length) return false;
  return offsetZero.every((byte, index) => u8(bytes, zoneAt + index) === byte);
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
