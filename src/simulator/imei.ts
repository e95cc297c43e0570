import type { DeviceId } from '../core/types.ts';

/** Type allocation codes that start with 00 are for test equipment and are in no shop's tracker. */
const TEST_PREFIX = '00';
const FLEET_DIGITS = 6;
const DEVICE_DIGITS = 6;

export const MAX_DEVICES = 10 ** DEVICE_DIGITS;
export const MAX_FLEETS = 10 ** FLEET_DIGITS;

/** The IMEI of one device of a simulated fleet: 15 digits, the last by Luhn. */
export function simulatedImei(fleet: number, device: number): DeviceId {
  const number =
    TEST_PREFIX +
    String(fleet % MAX_FLEETS).padStart(FLEET_DIGITS, '0') +
    String(device).padStart(DEVICE_DIGITS, '0');
  const imei = number + luhnDigit(number);
  if (!isImei(imei)) throw new RangeError(`device ${device} has no IMEI`);
  return imei;
}

function isImei(text: string): text is DeviceId {
  return /^[0-9]{15}$/.test(text);
}

function luhnDigit(number: string): string {
  let sum = 0;
  for (let at = 0; at < number.length; at++) {
    const digit = number.charCodeAt(at) - 0x30;
    // The digit that is not yet there is the first from the right and counts once.
    const counted = (number.length - at) % 2 === 1 ? digit * 2 : digit;
    sum += counted > 9 ? counted - 9 : counted;
  }
  return String((10 - (sum % 10)) % 10);
}
