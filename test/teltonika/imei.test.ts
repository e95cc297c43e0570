import { expect, test } from 'vitest';
import { isDeviceId, passesLuhn } from '../../src/teltonika/imei.ts';

test('exactly 15 ASCII digits have the form of an IMEI', () => {
  expect(isDeviceId('356307042441013')).toBe(true);
  expect(isDeviceId('000000000000000')).toBe(true);
  for (const text of [
    '',
    '35630704244101',
    '3563070424410133',
    '35630704244101a',
    ' 56307042441013',
    '356307042441013\n',
    '-56307042441013',
    '٣56307042441013',
  ]) {
    expect(isDeviceId(text)).toBe(false);
  }
});

test('the check digit tells a documented IMEI from one with a wrong digit', () => {
  const luhn = (text: string): boolean => isDeviceId(text) && passesLuhn(text);
  expect(luhn('356307042441013')).toBe(true);
  expect(luhn('352093081452251')).toBe(true);
  expect(luhn('490154203237518')).toBe(true);
  expect(luhn('356307042441014')).toBe(false);
  expect(luhn('123456789012345')).toBe(false);
});
