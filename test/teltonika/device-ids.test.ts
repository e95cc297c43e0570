import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deviceIdAt, forgetDeviceId } from '../../src/teltonika/device-ids.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';

const idAt = (text: string, before = '') => {
  const bytes = Buffer.from(before + text, 'latin1');
  return deviceIdAt(bytes, before.length);
};

test('15 digits are an id, anything else is not', () => {
  const digits = fc.string({
    unit: fc.constantFrom(...'0123456789'),
    minLength: 15,
    maxLength: 15,
  });
  const others = fc.string({
    unit: fc.constantFrom(...'0123456789 -./:x'),
    minLength: 15,
    maxLength: 15,
  });
  fc.assert(
    fc.property(fc.oneof(digits, others), fc.string({ maxLength: 4 }), (text, before) => {
      expect(idAt(text, before)).toBe(isDeviceId(text) ? text : null);
    }),
    { numRuns: 2000 },
  );
  expect(idAt('35630704244101')).toBeNull();
});

test('more ids than are remembered are all read as they are written', () => {
  for (let round = 0; round < 2; round += 1) {
    for (let number = 0; number < 100_000; number += 1) {
      const text = String(350_000_000_000_000 + number * 7_919_337);
      if (idAt(text) !== text) throw new Error(`${text} is read as ${idAt(text)}`);
    }
  }
});

test('a forgotten id is read again', () => {
  const id = idAt('356307042441013');
  if (id === null) throw new Error('not an id');
  forgetDeviceId(id);
  forgetDeviceId(id);
  expect(idAt('356307042441013')).toBe('356307042441013');
});
