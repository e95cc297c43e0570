import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteRange, codecs, type Position } from '../../src/core/types.ts';
import { encodeRows } from '../../src/db/position-arrays.ts';
import { encodePositions, positionColumns } from '../../src/db/position-columns.ts';
import { deviceId, position } from '../core/parts.ts';

const orNull = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { freq: 5 });
const int2 = fc.integer({ min: -32_768, max: 32_767 });
const int4 = fc.integer({ min: -2_147_483_648, max: 2_147_483_647 });
const double = fc.double({ noNaN: true });
const text = fc
  .dictionary(fc.nat(65_535).map(String), fc.maxSafeInteger(), { maxKeys: 20 })
  .map((value) => JSON.stringify(value));
const attributes = fc.oneof(
  text,
  fc.tuple(text, fc.nat(9)).map(([json, before]) => {
    const bytes = Buffer.from(`${'x'.repeat(before)}${json}}"`, 'latin1');
    return new ByteRange(bytes, before, before + json.length);
  }),
);
const row: fc.Arbitrary<Position> = fc.record({
  deviceId: fc.nat(1e9).map(deviceId),
  ts: fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }),
  latitude: orNull(double),
  longitude: orNull(double),
  altitude: orNull(int4),
  angle: orNull(fc.oneof(fc.nat(360), fc.float({ noNaN: true }))),
  speed: orNull(int4),
  satellites: orNull(int2),
  priority: int2,
  fix: fc.boolean(),
  eventIoId: orNull(int4),
  generationType: orNull(int2),
  codec: fc.constantFrom(...codecs),
  attributes,
  recordIndex: fc.nat(254),
});

test('all columns in one pass are the same bytes as one column after the other', () => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 30 }), (rows) => {
      const encoded = encodeRows(rows);
      expect(encoded).toEqual(positionColumns.map(({ encode }) => encode(rows)));
      expect(encodePositions(rows)).toEqual(encoded);
    }),
    { numRuns: 500 },
  );
});

test.each([
  [{ speed: 2 ** 31 }, '2147483648 is no int4'],
  [{ altitude: 1.5 }, '1.5 is no int4'],
  [{ satellites: 32_768 }, '32768 is no int2'],
  [{ eventIoId: -(2 ** 31) - 1 }, '-2147483649 is no int4'],
])('a number that does not fit its column is refused before it is sent: %j', (change, message) => {
  expect(() => encodeRows([position(change)])).toThrow(new RangeError(message));
});
