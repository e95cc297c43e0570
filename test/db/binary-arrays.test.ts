import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ByteRange } from '../../src/core/types.ts';
import {
  encodeAsciiJsonb,
  encodeAsciiText,
  encodeBool,
  encodeFloat4,
  encodeFloat8,
  encodeInt2,
  encodeInt4,
  encodeTimestamps,
} from '../../src/db/binary-arrays.ts';
import { databaseUrl } from '../setup/database.ts';

let client: Client;

beforeAll(async () => {
  client = new Client({ connectionString: databaseUrl() });
  await client.connect();
});
afterAll(() => client.end());

/** What the server makes of an encoded array, element by element, in order. */
async function read(type: string, array: Buffer, shown = 'value'): Promise<unknown[]> {
  const { rows } = await client.query<{ value: unknown }>(
    `SELECT ${shown} AS value FROM unnest($1::${type}[]) WITH ORDINALITY AS batch (value, ord)
     ORDER BY ord`,
    [array],
  );
  return rows.map(({ value }) => value);
}

const runs = { numRuns: 25 };
const same = <Value>(value: Value) => value;

function columnOf<Value>(values: fc.Arbitrary<Value>): fc.Arbitrary<(Value | null)[]> {
  return fc.array(fc.option(values, { freq: 5 }), { maxLength: 40 });
}

test.each([
  ['int2', encodeInt2, -32_768, 32_767],
  ['int4', encodeInt4, -2_147_483_648, 2_147_483_647],
] as const)('%s arrives as it was, with null and the extremes', async (type, encode, min, max) => {
  expect(await read(type, encode([min, -1, 0, null, 1, max], same))).toEqual([
    min,
    -1,
    0,
    null,
    1,
    max,
  ]);
  await fc.assert(
    fc.asyncProperty(columnOf(fc.integer({ min, max })), async (values) => {
      expect(await read(type, encode(values, same))).toEqual(values);
    }),
    runs,
  );
});

test('float8 arrives bit by bit, with null, infinities, not-a-number and -0', async () => {
  const extremes = [
    Number.MAX_VALUE,
    Number.MIN_VALUE,
    -0,
    0.1 + 0.2,
    1e308,
    null,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ];
  expect(await read('float8', encodeFloat8(extremes, same))).toEqual(extremes);
  await fc.assert(
    fc.asyncProperty(columnOf(fc.double()), async (values) => {
      expect(await read('float8', encodeFloat8(values, same))).toEqual(values);
    }),
    runs,
  );
});

test('float4 arrives in single precision, with null', async () => {
  await fc.assert(
    fc.asyncProperty(columnOf(fc.float({ noNaN: true })), async (values) => {
      const read4 = await read('float4', encodeFloat4(values, same), 'value::float8');
      expect(read4).toEqual(values);
    }),
    runs,
  );
});

test('bool arrives as it was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 40 }), async (values) => {
      expect(await read('bool', encodeBool(values, same))).toEqual(values);
    }),
    runs,
  );
});

test('timestamps arrive to the millisecond, before and after both epochs', async () => {
  const shown = '(extract(epoch FROM value) * 1000)::float8';
  const min = Date.UTC(1900, 0, 1);
  const max = Date.UTC(2200, 0, 1);
  const edges = [0, -1, 1, 946_684_800_000, 946_684_799_999, 946_689_094_967, 946_689_094_968];
  expect(await read('timestamptz', encodeTimestamps(edges, same), shown)).toEqual(edges);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min, max }), { maxLength: 40 }), async (values) => {
      expect(await read('timestamptz', encodeTimestamps(values, same), shown)).toEqual(values);
    }),
    runs,
  );
});

test('ASCII text arrives as it was, the empty one too', async () => {
  const text = fc.string({ unit: fc.integer({ min: 1, max: 127 }).map(asCharacter) });
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 40 }), async (values) => {
      expect(await read('text', encodeAsciiText(values, same))).toEqual(values);
    }),
    runs,
  );
  expect(await read('text', encodeAsciiText(['', 'a', ''], same))).toEqual(['', 'a', '']);
});

test('jsonb arrives with the same value', async () => {
  const key = fc.integer({ min: 0, max: 65_535 }).map(String);
  const value = fc.oneof(
    fc.maxSafeInteger(),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
    fc.boolean(),
  );
  const attributes = fc.dictionary(key, value, { maxKeys: 20 });
  await fc.assert(
    fc.asyncProperty(fc.array(attributes, { maxLength: 20 }), async (values) => {
      const texts = values.map((one) => JSON.stringify(one));
      const found = await read('jsonb', encodeAsciiJsonb(texts, same));
      expect(found.map(plain)).toEqual(values.map(plain));
    }),
    runs,
  );
});

test('an array of 20,000 elements arrives whole', async () => {
  const values = Array.from({ length: 20_000 }, (_, index) => (index % 7 === 0 ? null : index));

  expect(await read('int4', encodeInt4(values, same))).toEqual(values);
});

test('a number that does not fit its type is refused before it is sent', () => {
  expect(() => encodeInt2([32_768], same)).toThrow(RangeError);
  expect(() => encodeInt4([2 ** 31], same)).toThrow(RangeError);
});

function asCharacter(code: number): string {
  return String.fromCharCode(code);
}

/** Without fast-check's null prototypes, -0 as the 0 that JSON makes of it. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

test('jsonb as bytes is the same parameter as jsonb as text', () => {
  const json = fc.dictionary(fc.nat(65_535).map(String), fc.maxSafeInteger(), { maxKeys: 40 });
  fc.assert(
    fc.property(fc.array(json, { maxLength: 20 }), (values) => {
      const texts = values.map((one) => JSON.stringify(one));
      const reply = Buffer.from(`x${texts.join('\r\n')}x`, 'latin1');
      let start = 1;
      const ranges = texts.map((text) => {
        const range = new ByteRange(reply, start, start + text.length);
        start = range.end + 2;
        return range;
      });
      expect(encodeAsciiJsonb<ByteRange | string>(ranges, same)).toEqual(
        encodeAsciiJsonb(texts, same),
      );
    }),
  );
});
