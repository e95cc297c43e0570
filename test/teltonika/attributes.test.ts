import { expect, test } from 'vitest';
import { attributesJson } from '../../src/teltonika/attributes.ts';
import { maxIoElements } from '../../src/teltonika/io.ts';
import {
  encodeArray,
  encodeCodec7,
  encodeRecord,
  type IoGroup,
  type SentIo,
  uint,
  wrapTcp,
} from '../../tools/teltonika/encode.ts';
import { attributesOf, packetOf, plain } from './expectations.ts';

function io(id: number, group: IoGroup, value: Buffer): SentIo {
  return { id, group, value };
}

function written(elements: readonly SentIo[]): string {
  const sent = {
    ts: 0n,
    priority: 0,
    longitude: 0,
    latitude: 0,
    altitude: 0,
    angle: 0,
    satellites: 0,
    speed: 0,
    eventIoId: 0,
    generationType: 0,
    io: elements,
  };
  const frame = wrapTcp(encodeArray('8E', [encodeRecord('8E', sent, true)]));
  const [record] = packetOf(frame, { ...plain, io16: true }).records;
  if (record === undefined) throw new Error('no record');
  return String(attributesJson(record));
}

test('a record without elements gives an empty object', () => {
  expect(written([])).toBe('{}');
});

test('values are unsigned numbers under ascending ids', () => {
  expect(
    written([io(239, 1, uint(1, 1)), io(66, 2, uint(24_079, 2)), io(72, 4, uint(0xffff_fffe, 4))]),
  ).toBe('{"66":24079,"72":4294967294,"239":1}');
});

test('a value up to 53 bits is a number, a larger one a decimal string', () => {
  const values = [
    [0n, '0'],
    [999_999_999n, '999999999'],
    [4_294_967_295n, '4294967295'],
    [4_294_967_296n, '4294967296'],
    [10_000_000_000n, '10000000000'],
    [9_007_199_254_740_991n, '9007199254740991'],
    [9_007_199_254_740_992n, '"9007199254740992"'],
    [1_000_000_000_000_000_000n, '"1000000000000000000"'],
    [10_000_000_000_000_000_001n, '"10000000000000000001"'],
    [18_446_744_073_709_551_615n, '"18446744073709551615"'],
  ] as const;
  for (const [value, text] of values) {
    expect(written([io(78, 8, uint(value, 8))])).toBe(`{"78":${text}}`);
  }
});

test('every power of two and of ten and its neighbours are written exactly', () => {
  for (let power = 1n; power < 2n ** 64n; power *= 2n) {
    for (const value of [power - 1n, power, power + 1n]) {
      const elements = [
        io(1, 8, uint(value, 8)),
        io(2, 4, uint(value, 4)),
        io(3, 2, uint(value, 2)),
      ];
      expect(written(elements)).toBe(attributesOf(elements));
    }
  }
  for (let power = 1n; power < 2n ** 64n; power *= 10n) {
    for (const value of [power - 1n, power, power + 1n]) {
      const elements = [io(1, 8, uint(value, 8)), io(2, 4, uint(value, 4))];
      expect(written(elements)).toBe(attributesOf(elements));
    }
  }
});

test('bytes are lowercase hex, also none and sixteen of them', () => {
  expect(
    written([
      io(9, 16, Buffer.from('00112233445566778899AABBCCDDEEFF', 'hex')),
      io(10, 'variable', Buffer.alloc(0)),
      io(11, 'variable', Buffer.from('FF00', 'hex')),
    ]),
  ).toBe('{"9":"00112233445566778899aabbccddeeff","10":"","11":"ff00"}');
});

test('an id that several groups repeat occurs once, with its last value', () => {
  expect(
    written([
      io(5, 1, uint(1, 1)),
      io(5, 1, uint(2, 1)),
      io(6, 1, uint(9, 1)),
      io(5, 4, uint(3, 4)),
      io(5, 'variable', Buffer.of(0xab)),
    ]),
  ).toBe('{"5":"ab","6":9}');
});

test('the maximum number of elements is written completely, in any wire order', () => {
  const elements = Array.from({ length: maxIoElements }, (_, index) =>
    io((index * 40_503) % 65_536, 1, uint(index % 256, 1)),
  );
  expect(written(elements)).toBe(attributesOf(elements));
});

test('a variable value of 40,000 bytes is written whole and does not affect the next record', () => {
  const large = [io(1, 'variable', Buffer.alloc(40_000, 0x5a))];
  expect(written(large)).toBe(attributesOf(large));
  expect(written([io(1, 1, uint(7, 1))])).toBe('{"1":7}');
});

test('codec 7 adds its cell data under named keys', () => {
  const gps = { cell: { lac: 65_535, cid: 12 }, rssi: 31, operator: 24_602 };
  const record = encodeCodec7({ seconds: 1, priority: 0, gps, io: [io(1, 1, uint(99, 1))] });
  const bare = encodeCodec7({ seconds: 1, priority: 0, gps: { rssi: 31 }, io: [] });
  const { records } = packetOf(wrapTcp(encodeArray('7', [record, bare])));
  expect(records.map((record) => String(attributesJson(record)))).toEqual([
    '{"1":99,"lac":65535,"cid":12,"rssi":31,"operator":24602}',
    '{"rssi":31}',
  ]);
});
