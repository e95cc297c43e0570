import type { DeviceId } from '../core/types.ts';

/** Type allocation codes that start with 00 are for test equipment and are in no shop's tracker. */
const testPrefix = '00';
const fleetDigits = 6;
const deviceDigits = 6;

export const maxDevices = 10 ** deviceDigits;
export const maxFleets = 10 ** fleetDigits;

/** The IMEI of one device of a simulated fleet: 15 digits, the last by Luhn. */
export function simulatedImei(fleet: number, device: number): DeviceId {
  const number =
    testPrefix +
    String(fleet % maxFleets).padStart(fleetDigits, '0') +
    String(device).padStart(deviceDigits, '0');
  const imei = number + luhnDigit(number);
  if (!isImei(imei)) throw new RangeError(`device ${device} has no IMEI`);
  return imei;
}

function isImei(text: string): text is DeviceId {
  return /^[0-9]{15}$/.test(text);
}

function luhnDigit(number: string): string {
  let sum = 0;
  for (let at = 0; at < number.length; at += 1) {
    const digit = number.charCodeAt(at) - 0x30;
    // The digit that is not yet there is the first from the right and counts once.
    const counted = (number.length - at) % 2 === 1 ? digit * 2 : digit;
    sum += counted > 9 ? counted - 9 : counted;
  }
  return String((10 - (sum % 10)) % 10);
}
