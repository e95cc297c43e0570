import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteRange } from '../../src/core/types.ts';
import { createFleet } from '../../src/simulator/fleet.ts';
import { plainHabits } from '../../src/simulator/habits.ts';
import { maxIoElements } from '../../src/teltonika/io.ts';
import { readPayload } from '../../src/teltonika/payload.ts';
import { type PayloadRecord, scanPayload } from '../../src/teltonika/payload-scan.ts';

const good = {
  device_id: '356307042441013',
  timestamp: '2026-01-01T00:00:00.123Z',
  latitude: 54.6676016,
  longitude: -25.2562916,
  altitude: -138,
  angle: 90,
  speed: 40,
  satellites: 11,
  priority: 0,
  event_io_id: 239,
  generation_type: 5,
  attributes: { '1': 0, '239': 1, '65535': -12 },
};
const text = JSON.stringify(good);
const withAttributes = (attributes: string) =>
  JSON.stringify({ ...good, attributes: '@' }).replace('"@"', attributes);

/**
 * Scans the payload where a reply has it, between the bytes of others, and gives the attributes as a
 * text: the scan leaves them in the reply.
 */
function scan(payload: Buffer): PayloadRecord | null {
  const reply = Buffer.concat([Buffer.from('$1\r\n9'), payload, Buffer.from('}9"\r\n*2\r\n')]);
  const found = scanPayload(new ByteRange(reply, 5, 5 + payload.length));
  return found === null ? null : { ...found, attributes: String(found.attributes) };
}

/** Taken, and just as the full reading takes it. */
function expectTaken(json: string): void {
  const bytes = Buffer.from(json);
  expect(scan(bytes)).not.toBeNull();
  expect(scan(bytes)).toStrictEqual(readPayload(bytes));
}

/** Either left alone or read as the full reading does it; -0 and 0 are distinguished. */
function expectNoDisagreement(bytes: Buffer): void {
  const scanned = scan(bytes);
  if (scanned !== null) expect(scanned).toStrictEqual(readPayload(bytes));
}

test('the payloads of a usual fleet are taken by the scan', () => {
  const fleet = createFleet({
    seed: 7,
    baseTime: Date.UTC(2026, 0, 1),
    devices: 50,
    form: 'a',
    packetRecords: 1,
    habits: plainHabits,
    expectedRecords: 3000,
  });
  let taken = 0;
  for (let entry = 0; entry < 2000; entry += 1) {
    const payload = Buffer.from(fleet.next().fields[7] ?? '');
    expectNoDisagreement(payload);
    if (scan(payload) !== null) taken += 1;
  }
  expect(taken).toBeGreaterThan(1990);
});

test.each([
  ['as the contract has it', text],
  [
    'without an event id and a generation type',
    JSON.stringify({ ...good, event_io_id: undefined, generation_type: undefined }),
  ],
  ['without attributes', withAttributes('{}')],
  ['integers of 15 digits', withAttributes('{"0":999999999999999,"2":-999999999999999}')],
  ['an integer of 64 bits', withAttributes('{"11":{"__bigint":"8937000001225493818"},"12":1}')],
  ['the largest integer there is', withAttributes('{"78":{"__bigint":"18446744073709551615"}}')],
  [
    'two of them, and nothing else',
    withAttributes('{"7":{"__bigint":"10000000000000000"},"8":{"__bigint":"99999999999999999"}}'),
  ],
  ['bytes', withAttributes('{"2":{"__buffer_b64":"AQI="},"3":{"__buffer_b64":""}}')],
  ['an integer that was not too large', withAttributes('{"2":{"__bigint":"9007199254740991"}}')],
  ['one with leading zeros', withAttributes('{"2":{"__bigint":"00071992547409919"}}')],
  ['a latitude of -0', text.replace('54.6676016', '-0')],
  ['a latitude of -0.0', text.replace('54.6676016', '-0.0')],
  [
    'as many attributes as are let in',
    withAttributes(`{${Array.from({ length: maxIoElements }, (_, id) => `"${id}":1`).join(',')}}`),
  ],
])('taken: %s', (_, json) => {
  expectTaken(json);
});

test.each([
  ['spaces', JSON.stringify(good, null, 1)],
  ['other order', text.replace('"speed":40,"satellites":11', '"satellites":11,"speed":40')],
  ['an escape', text.replace('356307042441013', '35630704244101\\u0033')],
  ['an exponent', text.replace('54.6676016', '5.4e1')],
  ['more digits than are surely exact', text.replace('54.6676016', '54.66760161234567')],
  ['a leading zero', text.replace('54.6676016', '054.6')],
  ['a number that ends with its point', text.replace('54.6676016', '54.')],
  ['no digits', text.replace('54.6676016', '-')],
  ['attributes out of order', withAttributes('{"2":1,"1":1}')],
  ['an attribute twice', withAttributes('{"2":1,"2":1}')],
  ['an attribute with a fraction', withAttributes('{"2":1.50}')],
  ['an attribute of -0', withAttributes('{"2":-0}')],
  ['an id with a leading zero', withAttributes('{"02":1}')],
  ['an id beyond 16 bits', withAttributes('{"65536":1}')],
  ['a sentinel beyond 64 bits', withAttributes('{"2":{"__bigint":"18446744073709551616"}}')],
  ['bytes that are not base64', withAttributes('{"2":{"__buffer_b64":"AQI"}}')],
  ['a sentinel with a second key', withAttributes('{"2":{"__bigint":"1","x":1}}')],
  ['another object', withAttributes('{"2":{"__date":"1"}}')],
  ['a comma behind the last attribute', withAttributes('{"2":1,}')],
  [
    'one attribute too many',
    withAttributes(
      `{${Array.from({ length: maxIoElements + 1 }, (_, id) => `"${id}":1`).join(',')}}`,
    ),
  ],
  ['something behind the end', `${text} `],
  ['an id with an escape', withAttributes('{"\\u0031":1}')],
  ['a value that is not ASCII', withAttributes('{"2":{"__bigint":"\u0661"}}')],
  ['a key that is not ASCII', text.replace('"speed"', '"sp\u00e9ed"')],
  ['a field twice', text.replace('"speed":40', '"speed":41,"speed":40')],
  ['an attribute with an exponent', withAttributes('{"2":1e3}')],
  ['an integer beyond 2^53', withAttributes('{"2":9007199254740993}')],
  ['an id of many digits', withAttributes(`{"${'9'.repeat(400)}":1}`)],
  ['a sentinel without an end', withAttributes('{"2":{"__bigint":"1}}')],
  ['a time without milliseconds', text.replace('00.123Z', '00Z')],
])('left to the full reading: %s', (_, json) => {
  expect(scan(Buffer.from(json))).toBeNull();
});

test('cut anywhere, it is not taken', () => {
  for (let length = 0; length < text.length; length += 1) {
    expect(scan(Buffer.from(text.slice(0, length)))).toBeNull();
  }
});

test('whatever the numbers and attributes, the scan and the full reading agree to the bit', () => {
  const number = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.double({ min: -180, max: 180, noNaN: true }).map((value) => Math.round(value * 1e7) / 1e7),
  );
  const value = fc.oneof(
    number,
    fc.maxSafeInteger(),
    fc.bigInt({ min: 0n, max: 1n << 65n }).map((big) => ({ __bigint: big.toString() })),
    fc.uint8Array({ maxLength: 9 }).map((bytes) => ({
      __buffer_b64: Buffer.from(bytes).toString('base64'),
    })),
  );
  const attributes = fc.dictionary(fc.integer({ min: -1, max: 65_600 }).map(String), value, {
    maxKeys: 30,
  });
  fc.assert(
    fc.property(number, number, fc.integer(), attributes, (latitude, longitude, speed, io) => {
      const payload = { ...good, latitude, longitude, speed, attributes: io };
      expectNoDisagreement(Buffer.from(JSON.stringify(payload)));
    }),
    { numRuns: 5000 },
  );
});

test('bytes changed, put in or left out anywhere: the scan and the full reading agree', () => {
  const change = fc.record({
    at: fc.nat(text.length - 1),
    drop: fc.integer({ min: 0, max: 3 }),
    put: fc.oneof(
      fc.constantFrom('0', '-', '.', ',', '"', '{', '}', ':', ' ', 'e', '00', '\\', '9', '"1":'),
      fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    ),
  });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      let changed = text;
      for (const { at, drop, put } of changes) {
        changed = changed.slice(0, at) + put + changed.slice(at + drop);
      }
      expectNoDisagreement(Buffer.from(changed, 'latin1'));
    }),
    { numRuns: 20_000 },
  );
});
