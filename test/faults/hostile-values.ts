/** Single bad words of which hostile entries are made. */
import fc from 'fast-check';

/** JSON texts of one value that a number's or a text's place is given instead; not all are JSON. */
export const strangeTokens: readonly string[] = [
  ...[
    'null',
    'true',
    '""',
    '"12"',
    '[]',
    '{}',
    '[[]]',
    '-1',
    '0.5',
    '-0',
    '-0.0',
    '1e300',
    '1e400',
  ],
  ...[
    '-1e400',
    '1e-400',
    'NaN',
    'Infinity',
    '-Infinity',
    '0x10',
    '01',
    '+1',
    '.5',
    '9007199254740993',
  ],
  ...['18446744073709551616', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '{"__bigint":"1"}'],
  ...['undefined', '{"__proto__":{"polluted":1}}', '{"toString":1,"valueOf":2}', "'x'", '1,', ''],
];

export const payloadFieldNames = [
  ...(['device_id', 'timestamp', 'latitude', 'longitude', 'altitude', 'angle', 'speed'] as const),
  ...(['satellites', 'priority', 'event_io_id', 'generation_type', 'attributes'] as const),
];

/** Keys that mean something to JavaScript's objects and nothing to us. */
export const objectKeys = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__'],
];

/** Whole payloads that are no object of the contract. */
export const strangeJson: readonly string[] = [
  ...['', ' ', 'null', 'NaN', '1e400', '-0', '"x"', '[]', '{}', 'true', '\ufeff{}', '{"a":1e999}'],
  ...[
    '{"__proto__":{"x":1}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '{"device_id":1}',
    "{'a':1}",
  ],
  ...['{"a":1}}', '[{}]', '\0', '{"a":"\u0001"}', '{} {}', '/* */{}', '{"a":1,}', '"\\ud800"'],
];

/** Texts in the place of `attributes`. */
export const strangeAttributes: readonly string[] = [
  ...[
    'null',
    '[]',
    '1',
    '"x"',
    '{"x":1}',
    '{"":1}',
    '{"-1":1}',
    '{"65536":1}',
    '{"01":1}',
    '{"1e3":1}',
  ],
  ...['{"1":null}', '{"1":"x"}', '{"1":true}', '{"1":[]}', '{"1":{}}', '{"1":1e400}', '{"1":NaN}'],
  ...[
    '{"1":9007199254740993}',
    '{"1":{"__bigint":1}}',
    '{"1":{"__bigint":""}}',
    '{"1":{"__bigint":"-1"}}',
  ],
  ...['{"1":{"__bigint":"18446744073709551616"}}', '{"1":{"__bigint":"1","__buffer_b64":""}}'],
  ...['{"1":{"__buffer_b64":"!!"}}', '{"1":{"__buffer_b64":"QQ"}}', '{"1":{"__buffer_b64":1}}'],
  ...[
    '{"__proto__":1}',
    '{"constructor":1}',
    '{"1":{"__proto__":"1"}}',
    '{"١":1}',
    '{"1\\u0000":1}',
  ],
];

/** The same, and good. */
export const oddAttributes: readonly string[] = [
  ...[
    '{}',
    '{"0":0}',
    '{"65535":-0}',
    '{"1":0.5}',
    '{"1":1e-400}',
    '{"2":1,"1":2}',
    '{"1":1,"1":2}',
  ],
  ...['{"1":{"__bigint":"00000000000000000000"}}', '{"1":{"__bigint":"18446744073709551615"}}'],
  ...['{"1":{"__buffer_b64":""}}', '{"1":{"__buffer_b64":"AAA="}}', ' {\n"1" :\t1.0 }'],
];

/** Neither a time that parses nor one within the window. */
export const strangeTimes: readonly string[] = [
  ...['', '0', '1970-01-01T00:00:00.000Z', '9999-12-31T23:59:59.999Z', '2026-02-30T00:00:00.000Z'],
  ...[
    '+275760-09-13T00:00:00.000Z',
    '2026-11-01',
    '2026-13-01T00:00:00.000Z',
    '-000001-01-01T00:00:00Z',
  ],
  ...[
    '2106-02-07T06:28:16.000Z',
    '0000-00-00T00:00:00.000Z',
    'NaN',
    'now',
    '2026-11-01T00:00:00\0Z',
  ],
  ...['1767225600000', '٢٠٢٦-١١-٠١T00:00:00.000Z', '2026-11-01T25:00:00.000Z', '2'.repeat(100)],
];

export const strangeDevices: readonly (string | Buffer)[] = [
  ...['', '1', '35000000000000', '3500000000000066', '35000000000000a', ' 350000000000006'],
  ...['٣٥٠٠٠٠٠٠٠٠٠٠٠٠٦', "'; DROP TABLE positions; --", '350000000000006\0', '-35000000000006'],
  ...['__proto__', '3.5000000000e14', '1'.repeat(10_000), '０００００００００００００００'],
  ...[Buffer.from([0xff, 0xfe]), Buffer.alloc(15), Buffer.alloc(15, 0xb5)],
];

/** Bytes that no UTF-8 text has: a lone surrogate, an overlong form, a cut one, beyond the last. */
export const notUtf8 = ['eda080', 'c0af', 'e282', 'f4908080', 'ff', '80', 'f8888080'].map((hex) =>
  Buffer.from(hex, 'hex'),
);

const stringUnit = 'binary' as const;

/** JSON of any shape, below the depth that is refused as such. */
export function anyJson(seed: number, many: number): string[] {
  return fc.sample(fc.json({ maxDepth: 5, stringUnit }), { seed, numRuns: many });
}

/** Objects with any keys and any values, as JSON, in the place of `attributes`. */
export function anyAttributes(seed: number, many: number): string[] {
  const key = fc.oneof(fc.string({ unit: stringUnit }), fc.nat(70_000).map(String));
  const value = fc.oneof(fc.integer(), fc.double(), fc.jsonValue({ maxDepth: 3, stringUnit }));
  const attributes = fc.dictionary(key, value, { maxKeys: 6, minKeys: 1 });
  return fc.sample(attributes, { seed, numRuns: many }).map((object) => JSON.stringify(object));
}
