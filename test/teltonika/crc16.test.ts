import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc16 } from '../../src/teltonika/crc16.ts';
import { slowCrc16 } from '../../tools/teltonika/encode.ts';

test('the check value of CRC-16/ARC is 0xBB3D', () => {
  expect(crc16(Buffer.from('123456789'), 0, 9)).toBe(0xbb3d);
});

test('the CRC of no bytes is 0', () => {
  expect(crc16(Buffer.alloc(4), 2, 2)).toBe(0);
});

test('any part of any bytes has the CRC that the bit-by-bit description gives', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(30), (array, start) => {
      const bytes = Buffer.from(array);
      const from = Math.min(start, bytes.length);
      expect(crc16(bytes, from, bytes.length)).toBe(slowCrc16(bytes.subarray(from)));
    }),
    { numRuns: 2000 },
  );
});
