import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { ByteRange, decodeReasons } from '../../src/core/types.ts';
import { maxIoElements } from '../../src/teltonika/io.ts';
import { decodePayload, maxPayloadBytes } from '../../src/teltonika/payload.ts';

const good = {
  device_id: '356307042441013',
  timestamp: '2026-01-01T00:00:00.123Z',
  latitude: 54.6676016,
  longitude: 25.2562916,
  altitude: 138,
  angle: 90,
  speed: 40,
  satellites: 11,
  priority: 0,
  event_io_id: 239,
  attributes: { '239': 1 },
};

const decodeBytes = (bytes: Buffer) => decodePayload(new ByteRange(bytes));
const decodeText = (json: string) => decodeBytes(Buffer.from(json));
const decodeFields = (fields: object) => decodeText(JSON.stringify({ ...good, ...fields }));
/** `attributes` as JSON text, so that it can hold what JSON.stringify would not write. */
const decodeAttributes = (attributes: string) =>
  decodeText(JSON.stringify({ ...good, attributes: '@' }).replace('"@"', attributes));

function codeOf(decoded: ReturnType<typeof decodePayload>): string {
  return decoded.kind === 'error' ? decoded.code : 'taken';
}

function attributesOf(attributes: string): string {
  const decoded = decodeAttributes(attributes);
  return decoded.kind === 'error' ? decoded.code : String(decoded.attributes);
}

test('a payload of the contract is read field by field', () => {
  const decoded = decodeFields({ generation_type: 5 });
  if (decoded.kind === 'error') throw new Error(decoded.message);
  expect({ ...decoded, attributes: String(decoded.attributes) }).toEqual({
    kind: 'payload',
    deviceId: '356307042441013',
    ts: Date.UTC(2026, 0, 1, 0, 0, 0, 123),
    latitude: 54.6676016,
    longitude: 25.2562916,
    altitude: 138,
    angle: 90,
    speed: 40,
    satellites: 11,
    priority: 0,
    eventIoId: 239,
    generationType: 5,
    attributes: '{"239":1}',
  });
});

test('an event id and a generation type that are absent are null', () => {
  const { event_io_id: _, ...without } = good;
  expect(decodeText(JSON.stringify(without))).toMatchObject({
    eventIoId: null,
    generationType: null,
  });
});

describe('the shape is strict', () => {
  test.each(
    Object.keys(good)
      .filter((key) => key !== 'event_io_id')
      .map((key) => [key]),
  )('without %s it is not a payload', (key) => {
    expect(codeOf(decodeFields({ [key]: undefined }))).toBe('payload_shape');
  });

  test.each([
    ['a number as text', { latitude: '54.6' }],
    ['an empty text as number', { speed: '' }],
    ['a boolean as number', { satellites: true }],
    ['null as number', { altitude: null }],
    ['null as event id', { event_io_id: null }],
    ['a number as device id', { device_id: 356307042441013 }],
    ['a number as time', { timestamp: 1_767_225_600_000 }],
    ['a local time', { timestamp: '2026-01-01T00:00:00' }],
    ['an unknown key', { odometer: 1 }],
    ['attributes as list', { attributes: [1] }],
    ['attributes as null', { attributes: null }],
    ['attributes as text', { attributes: '{}' }],
  ])('%s is refused', (_name, fields) => {
    expect(codeOf(decodeFields(fields))).toBe('payload_shape');
  });

  test.each(['null', '1', '"x"', '[]', '{}', 'true'])('%s is not a payload', (json) => {
    expect(codeOf(decodeText(json))).toBe('payload_shape');
  });

  test('a number larger than any double is refused', () => {
    const json = JSON.stringify(good).replace('54.6676016', '1e999');
    expect(codeOf(decodeText(json))).toBe('payload_shape');
  });

  test('the message names a field of the contract, never a key or value of the input', () => {
    const secret = 'sensitive-8f3a';
    for (const fields of [{ [secret]: 1 }, { latitude: secret }, { attributes: { [secret]: 1 } }]) {
      const decoded = decodeFields(fields);
      expect(decoded.kind).toBe('error');
      expect(JSON.stringify(decoded)).not.toContain(secret);
    }
  });
});

describe('attributes become the text that the wire would give', () => {
  test.each([
    ['no attribute', '{}', '{}'],
    ['ids in any order', '{"240":2,"9":1,"66":3}', '{"9":1,"66":3,"240":2}'],
    ['the last of a repeated id', '{"9":1,"9":2}', '{"9":2}'],
    ['a fraction', '{"9":12.50}', '{"9":12.5}'],
    ['a negative number', '{"9":-3}', '{"9":-3}'],
    ['a negative zero', '{"9":-0}', '{"9":0}'],
    ['an integer as 1e3', '{"9":1e3}', '{"9":1000}'],
    ['the largest safe integer', '{"9":9007199254740991}', '{"9":9007199254740991}'],
    ['the largest id', '{"65535":0,"0":1}', '{"0":1,"65535":0}'],
    ['a small bigint', '{"9":{"__bigint":"007"}}', '{"9":7}'],
    ['a safe bigint', '{"9":{"__bigint":"9007199254740991"}}', '{"9":9007199254740991}'],
    ['an unsafe bigint', '{"9":{"__bigint":"9007199254740992"}}', '{"9":"9007199254740992"}'],
    [
      'the largest bigint',
      '{"9":{"__bigint":"18446744073709551615"}}',
      '{"9":"18446744073709551615"}',
    ],
    ['no bytes', '{"9":{"__buffer_b64":""}}', '{"9":""}'],
    ['bytes', '{"9":{"__buffer_b64":"/wCr"}}', '{"9":"ff00ab"}'],
    ['padded bytes', '{"9":{"__buffer_b64":"/w=="}}', '{"9":"ff"}'],
  ])('%s', (_name, attributes, expected) => {
    expect(attributesOf(attributes)).toBe(expected);
  });
});

describe('an attribute that the contract does not have is refused', () => {
  test.each([
    '{"":1}',
    '{"a":1}',
    '{"01":1}',
    '{"-1":1}',
    '{"1.0":1}',
    '{" 1":1}',
    '{"65536":1}',
    '{"99999999999999999999":1}',
    '{"__proto__":1}',
    '{"__proto__":{"__bigint":"1"}}',
    '{"constructor":1}',
    '{"toString":{"__bigint":"1"}}',
    '{"9":null}',
    '{"9":true}',
    '{"9":"1"}',
    '{"9":[1]}',
    '{"9":{}}',
    '{"9":9007199254740992}',
    '{"9":-9007199254740992}',
    '{"9":1e300}',
    '{"9":1e999}',
    '{"9":{"__bigint":1}}',
    '{"9":{"__bigint":""}}',
    '{"9":{"__bigint":"-1"}}',
    '{"9":{"__bigint":"+1"}}',
    '{"9":{"__bigint":"0x1"}}',
    '{"9":{"__bigint":"1n"}}',
    '{"9":{"__bigint":" 1"}}',
    '{"9":{"__bigint":"１"}}',
    '{"9":{"__bigint":"18446744073709551616"}}',
    '{"9":{"__bigint":"000000000000000000001"}}',
    '{"9":{"__bigint":"1","x":1}}',
    '{"9":{"__bigint":"1","__buffer_b64":""}}',
    '{"9":{"__proto__":"1"}}',
    '{"9":{"__bigint":{"__bigint":"1"}}}',
    '{"9":{"__buffer_b64":"/w"}}',
    '{"9":{"__buffer_b64":"/x=="}}',
    '{"9":{"__buffer_b64":"_w=="}}',
    '{"9":{"__buffer_b64":"/w==\\n"}}',
    '{"9":{"__buffer_b64":"/w== "}}',
    '{"9":{"__buffer_b64":"\\ud800"}}',
    '{"9":{"__buffer_b64":null}}',
  ])('%s', (attributes) => {
    expect(attributesOf(attributes)).toBe('attribute_invalid');
  });

  test('bytes longer than the wire can say', () => {
    const base64 = (size: number) =>
      `{"9":{"__buffer_b64":"${Buffer.alloc(size).toString('base64')}"}}`;
    expect(attributesOf(base64(65_535))).toHaveLength(65_535 * 2 + 8);
    expect(attributesOf(base64(65_536))).toBe('attribute_invalid');
  });

  test('more attributes than any device sends', () => {
    const many = (count: number) =>
      JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, id) => [id, 1])));
    expect(attributesOf(many(maxIoElements))).not.toBe('attribute_count');
    expect(attributesOf(many(maxIoElements + 1))).toBe('attribute_count');
  });
});

describe('hostile JSON', () => {
  test('keys of the prototype do not touch it', () => {
    decodeAttributes('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');
    decodeText(JSON.stringify(good).replace('{', '{"__proto__":{"polluted":1},'));
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  test.each([
    ['in the attributes', (deep: string) => JSON.stringify(good).replace('"239":1', `"9":${deep}`)],
    ['as the payload', (deep: string) => deep],
    ['cut off', (deep: string) => deep.slice(0, deep.length / 2)],
    ['after strings with brackets', (deep: string) => `["[[[\\"[[[",${deep}]`],
  ])('depth %s is reported as such', (_name, place) => {
    for (const depth of [20, 5000, 100_000]) {
      const deep = place('['.repeat(depth) + ']'.repeat(depth));
      expect(codeOf(decodeText(deep))).toBe('json_too_deep');
      expect(codeOf(decodeText(place('{"a":'.repeat(depth / 4))))).not.toBe('taken');
    }
  });

  test('a payload that is too deep is never parsed', ({ onTestFinished }) => {
    const parse = vi.spyOn(JSON, 'parse');
    onTestFinished(() => parse.mockRestore());
    expect(codeOf(decodeBytes(Buffer.alloc(120_000, '[')))).toBe('json_too_deep');
    expect(parse).not.toHaveBeenCalled();
  });

  test('brackets in a string do not count as depth', () => {
    expect(codeOf(decodeFields({ device_id: `${'['.repeat(100)}\\"${'{'.repeat(100)}` }))).toBe(
      'taken',
    );
    expect(codeOf(decodeFields({ timestamp: '['.repeat(100) }))).toBe('payload_shape');
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['half a payload', Buffer.from(JSON.stringify(good).slice(0, 60))],
    ['two payloads', Buffer.from(JSON.stringify(good).repeat(2))],
    ['NaN', Buffer.from(JSON.stringify(good).replace('138', 'NaN'))],
    ['a byte order mark', Buffer.from(`\ufeff${JSON.stringify(good)}`)],
    ['a NUL', Buffer.from(`${JSON.stringify(good)}\0`)],
    ['bytes that are not UTF-8', Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xff)])],
    ['a surrogate as UTF-8', Buffer.from('227b61eda080227d', 'hex')],
  ])('%s is not JSON', (_name, bytes) => {
    expect(codeOf(decodeBytes(bytes))).toBe('json_invalid');
  });

  test('a payload larger than the limit is not parsed', () => {
    const padded = JSON.stringify(good).padEnd(maxPayloadBytes);
    expect(codeOf(decodeText(padded))).toBe('taken');
    expect(codeOf(decodeText(`${padded} `))).toBe('entry_too_large');
  });

  test('bytes changed anywhere are answered, never thrown', () => {
    const original = Buffer.from(
      JSON.stringify({
        ...good,
        attributes: {
          '9': { __bigint: '18446744073709551615' },
          '66': 12.5,
          '256': { __buffer_b64: '/wCr' },
        },
      }),
    );
    const put = fc.oneof(
      fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom(
          '__proto__',
          '\0',
          '\\ud800',
          '"',
          '[',
          '{',
          '}',
          ']',
          '1e999',
          '-0',
          '99999999999999999999',
        )
        .map((text) => Buffer.from(text)),
    );
    const edits = fc.array(fc.tuple(fc.nat(original.length), fc.nat(4), put), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(edits, (list) => {
        let bytes = original;
        for (const [at, removed, added] of list) {
          bytes = Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
        }
        withstand(bytes);
      }),
      { numRuns: 20_000 },
    );
  });

  test('any JSON is answered, never thrown', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 12 }), fc.json(), (whole, attributes) => {
        withstand(Buffer.from(whole));
        withstand(Buffer.from(JSON.stringify(good).replace('{"239":1}', attributes)));
      }),
      { numRuns: 5000 },
    );
  });
});

function withstand(bytes: Buffer): void {
  const decoded = decodeBytes(bytes);
  if (decoded.kind === 'payload') {
    JSON.parse(String(decoded.attributes));
    return;
  }
  const known = (decodeReasons as readonly string[]).includes(decoded.code);
  if (!known || decoded.message === '') throw new Error(`ill-formed: ${JSON.stringify(decoded)}`);
}
