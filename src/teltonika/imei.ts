import type { DeviceId } from '../core/types.ts';

const imeiDigits = 15;

/** Whether a text has the form of an IMEI: exactly 15 ASCII digits. */
export function isDeviceId(text: string): text is DeviceId {
  if (text.length !== imeiDigits) return false;
  for (let at = 0; at < imeiDigits; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

/**
 * Whether the 15th digit is the Luhn check digit of the others. Only ever counted: the maker's
 * own example 123456789012345 fails, and so do test devices.
 */
export function passesLuhn(imei: DeviceId): boolean {
  let sum = 0;
  for (let at = 0; at < imeiDigits; at += 1) {
    const digit = imei.charCodeAt(at) - 0x30;
    const weighted = at % 2 === 1 ? digit * 2 : digit;
    sum += weighted > 9 ? weighted - 9 : weighted;
  }
  return sum % 10 === 0;
}
