import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIsoMs } from '../../src/teltonika/iso-time.ts';

const first = Date.parse('0000-01-01T00:00:00Z');
const last = Date.parse('9999-12-31T23:59:59.999Z');

test('every millisecond of the years 0 to 9999 is read as it was written', () => {
  fc.assert(
    fc.property(fc.integer({ min: first, max: last }), (ms) => {
      const iso = new Date(ms).toISOString();
      expect(parseIsoMs(iso)).toBe(ms);
      expect(parseIsoMs(iso.replace('Z', '+00:00'))).toBe(ms);
    }),
    { numRuns: 5000 },
  );
  expect(parseIsoMs('0000-01-01T00:00:00Z')).toBe(first);
  expect(parseIsoMs('9999-12-31T23:59:59.999Z')).toBe(last);
});

test('every day of four centuries is the day that Date says', () => {
  const from = Date.UTC(1900, 0, 1);
  for (let day = 0; day < 146_097; day += 1) {
    const ms = from + day * 86_400_000;
    if (parseIsoMs(new Date(ms).toISOString()) !== ms) throw new Error(`day ${day}`);
  }
});

test('a fraction may have no, one, two or three digits', () => {
  const base = Date.UTC(2026, 0, 2, 3, 4, 5);
  expect(parseIsoMs('2026-01-02T03:04:05Z')).toBe(base);
  expect(parseIsoMs('2026-01-02T03:04:05.1Z')).toBe(base + 100);
  expect(parseIsoMs('2026-01-02T03:04:05.12Z')).toBe(base + 120);
  expect(parseIsoMs('2026-01-02T03:04:05.123Z')).toBe(base + 123);
  expect(parseIsoMs('2026-01-02T03:04:05.007+00:00')).toBe(base + 7);
});

describe('what is not a UTC time of the calendar is refused', () => {
  test.each([
    '',
    'Z',
    '2026-01-02',
    '2026-01-02T03:04Z',
    '2026-01-02T03:04:05',
    '2026-01-02T03:04:05z',
    '2026-01-02t03:04:05Z',
    '2026-01-02 03:04:05Z',
    '2026-01-02T03:04:05.Z',
    '2026-01-02T03:04:05.1234Z',
    '2026-01-02T03:04:05,123Z',
    '2026-01-02T03:04:05.12 Z',
    '2026-01-02T03:04:05+01:00',
    '2026-01-02T03:04:05-00:00',
    '2026-01-02T03:04:05+0000',
    '2026-01-02T03:04:05+00:00Z',
    '2026-01-02T03:04:05ZZ',
    ' 2026-01-02T03:04:05Z',
    '2026-01-02T03:04:05Z ',
    '2026-00-02T03:04:05Z',
    '2026-13-02T03:04:05Z',
    '2026-01-00T03:04:05Z',
    '2026-01-32T03:04:05Z',
    '2026-04-31T03:04:05Z',
    '2026-02-29T03:04:05Z',
    '1900-02-29T03:04:05Z',
    '2026-01-02T24:00:00Z',
    '2026-01-02T03:60:05Z',
    '2026-01-02T03:04:60Z',
    '+002026-01-02T03:04:05Z',
    '-026-01-02T03:04:05Z',
    '2026-1-02T03:04:005Z',
    '２026-01-02T03:04:05Z',
    '1767322645000',
  ])('%j', (text) => {
    expect(parseIsoMs(text)).toBeNull();
  });

  test('leap days of leap years are in the calendar', () => {
    expect(parseIsoMs('2024-02-29T00:00:00Z')).toBe(Date.UTC(2024, 1, 29));
    expect(parseIsoMs('2000-02-29T00:00:00Z')).toBe(Date.UTC(2000, 1, 29));
  });
});

test('any text is answered, and only with what Date agrees to', () => {
  const near = fc
    .tuple(fc.constant('2026-01-02T03:04:05.123Z'), fc.nat(23), fc.string({ maxLength: 2 }))
    .map(([text, at, put]) => text.slice(0, at) + put + text.slice(at + 1));
  fc.assert(
    fc.property(fc.oneof(fc.string(), near), (text) => {
      const ms = parseIsoMs(text);
      if (ms !== null) expect(ms).toBe(Date.parse(text));
    }),
    { numRuns: 10_000 },
  );
});
