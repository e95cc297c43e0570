import { describe, expect, test } from 'vitest';
import { hasFix, type RecordFields, rangeProblem } from '../../src/teltonika/validate.ts';

const nowMs = 1_767_225_600_000;
const window = { nowMs, tsMaxPastMs: 1000, tsMaxFutureMs: 10 };
const good: RecordFields = {
  ts: nowMs,
  latitude: 54.6,
  longitude: 25.2,
  altitude: 138,
  angle: 90,
  speed: 40,
  satellites: 11,
  priority: 0,
  eventIoId: 0,
  generationType: null,
  codec: '8E',
};
const reasonOf = (fields: Partial<RecordFields>) =>
  rangeProblem({ ...good, ...fields }, window)?.reason ?? null;

test('an ordinary record has no problem', () => {
  expect(rangeProblem(good, window)).toBeNull();
});

describe('each range is held at its ends', () => {
  test.each([
    ['ts', nowMs - 1000, nowMs + 10, 1, 'ts_out_of_range'],
    ['latitude', -90, 90, 1e-7, 'latitude_out_of_range'],
    ['longitude', -180, 180, 1e-7, 'longitude_out_of_range'],
    ['altitude', -32_768, 32_767, 1, 'altitude_out_of_range'],
    ['angle', 0, 360, 1, 'angle_out_of_range'],
    ['speed', 0, 65_535, 1, 'speed_out_of_range'],
    ['satellites', 0, 255, 1, 'satellites_out_of_range'],
    ['priority', 0, 255, 1, 'priority_out_of_range'],
    ['eventIoId', 0, 65_535, 1, 'event_io_id_out_of_range'],
    ['generationType', 0, 255, 1, 'generation_type_out_of_range'],
  ] as const)('%s', (field, least, most, step, reason) => {
    expect(reasonOf({ [field]: least })).toBeNull();
    expect(reasonOf({ [field]: most })).toBeNull();
    expect(reasonOf({ [field]: least - step })).toBe(reason);
    expect(reasonOf({ [field]: most + step })).toBe(reason);
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(reasonOf({ [field]: odd })).toBe(reason);
    }
  });
});

describe('what the wire writes as an integer is one', () => {
  test.each(['altitude', 'angle', 'speed', 'satellites', 'priority', 'eventIoId'] as const)(
    '%s',
    (field) => {
      expect(reasonOf({ [field]: 1.5 })).not.toBeNull();
    },
  );

  test('codec 7 has an unsigned altitude and parts of a degree', () => {
    expect(reasonOf({ codec: '7', altitude: 65_535, angle: 1.40625 })).toBeNull();
    expect(reasonOf({ codec: '7', altitude: 65_536 })).toBe('altitude_out_of_range');
  });
});

test('a record without a position is valid', () => {
  expect(reasonOf({ latitude: null, longitude: null })).toBeNull();
});

test('a time of 64 bits is out of range', () => {
  expect(reasonOf({ ts: 2 ** 64 })).toBe('ts_out_of_range');
});

test.each([
  [5 * 366 * 86_400_000, 86_400_000, 'expected no older than 5 years, no more than 1 day ahead'],
  [30 * 86_400_000, 90_000, 'expected no older than 30 days, no more than 90 seconds ahead'],
  [36 * 3_600_000, 3_600_000, 'expected no older than 36 hours, no more than 1 hour ahead'],
])('the time window is given in units that people use', (tsMaxPastMs, tsMaxFutureMs, message) => {
  const configured = { nowMs, tsMaxPastMs, tsMaxFutureMs };
  expect(rangeProblem({ ...good, ts: 0 }, configured)).toMatchObject({ message });
});

test('a record with satellites has a fix, unless its position is 0/0 or absent', () => {
  expect(hasFix(54.6, 25.2, 1)).toBe(true);
  expect(hasFix(0, 25.2, 1)).toBe(true);
  expect(hasFix(54.6, 0, 1)).toBe(true);
  expect(hasFix(54.6, 25.2, 0)).toBe(false);
  expect(hasFix(0, 0, 9)).toBe(false);
  expect(hasFix(null, null, 9)).toBe(false);
});
