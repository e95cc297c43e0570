import type { DeviceId } from '../core/types.ts';
import { isDeviceId } from './imei.ts';

const zero = 0x30;
const firstDigits = 7;
const lastDigits = 8;
export const imeiDigits = firstDigits + lastDigits;

/** A power of two; `slotBits` of the hash choose a slot. */
const slotBits = 15;
const slots = 2 ** slotBits;

/**
 * The texts of device ids seen recently, in a table of fixed size in which the newest id of a slot
 * replaces the one before. A device's records then share one text: none is made for each record, and
 * maps find it by its stored hash.
 */
const recent = {
  first: new Int32Array(slots),
  last: new Int32Array(slots),
  texts: new Array<DeviceId | null>(slots).fill(null),
};

/** The device id whose 15 digits begin at `start`; null if they are not digits. */
export function deviceIdAt(bytes: Buffer, start: number): DeviceId | null {
  const first = digitsAt(bytes, start, firstDigits);
  const last = digitsAt(bytes, start + firstDigits, lastDigits);
  if (first < 0 || last < 0) return null;
  const slot = slotOf(first, last);
  const known = recent.texts[slot] ?? null;
  if (known !== null && recent.first[slot] === first && recent.last[slot] === last) return known;
  const text = bytes.toString('latin1', start, start + imeiDigits);
  if (!isDeviceId(text)) return null;
  recent.first[slot] = first;
  recent.last[slot] = last;
  recent.texts[slot] = text;
  return text;
}

/** Keeps the id in memory no longer, for a device that an operator has removed. */
export function forgetDeviceId(id: DeviceId): void {
  const slot = slotOf(Number(id.slice(0, firstDigits)), Number(id.slice(firstDigits)));
  if (recent.texts[slot] === id) recent.texts[slot] = null;
}

function slotOf(first: number, last: number): number {
  return (Math.imul(last, 0x9e37_79b1) ^ Math.imul(first, 0x85eb_ca6b)) >>> (32 - slotBits);
}

/** The number that `count` digits write, at most 9 of them; -1 if one is no digit. */
function digitsAt(bytes: Buffer, start: number, count: number): number {
  let value = 0;
  for (let at = start; at < start + count; at += 1) {
    const digit = (bytes[at] ?? 0) - zero;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
