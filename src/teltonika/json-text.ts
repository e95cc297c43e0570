import { u8 } from './bytes.ts';

/**
 * Writers of JSON values as ASCII bytes: each writes at `to` and returns the offset behind.
 * Bytes and one `toString` at the end take half the time of joining strings (measured, 16 values).
 */

const QUOTE = 0x22;
const ZERO = 0x30;
const hexDigits = Buffer.from('0123456789abcdef', 'latin1');

/** Below this, one 32-bit multiplication divides by ten exactly. */
const SHORT_LIMIT = 65_536;
const TEN_TO_FOUR = 10_000;
const TEN_TO_NINE = 1_000_000_000;

/** Decimal digits of an integer from 0 to 2^32 - 1. */
export function writeInteger(text: Buffer, to: number, value: number): number {
  if (value < 10) {
    text[to] = ZERO + value;
    return to + 1;
  }
  if (value < SHORT_LIMIT) return writeShort(text, to, value, digitsBelowLimit(value));
  const upper = Math.floor(value / TEN_TO_FOUR);
  const next = writeInteger(text, to, upper);
  return writeShort(text, next, value - upper * TEN_TO_FOUR, 4);
}

function digitsBelowLimit(value: number): number {
  if (value < 1000) return value < 100 ? 2 : 3;
  return value < TEN_TO_FOUR ? 4 : 5;
}

function writeShort(text: Buffer, to: number, value: number, digits: number): number {
  let rest = value;
  for (let at = to + digits - 1; at >= to; at--) {
    const tenth = Math.imul(rest, 52_429) >>> 19;
    text[at] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
  return to + digits;
}

/** Exactly nine decimal digits, with leading zeros. */
function writeNine(text: Buffer, to: number, value: number): number {
  const upper = Math.floor(value / TEN_TO_FOUR);
  const first = Math.floor(upper / TEN_TO_FOUR);
  text[to] = ZERO + first;
  const next = writeShort(text, to + 1, upper - first * TEN_TO_FOUR, 4);
  return writeShort(text, next, value - upper * TEN_TO_FOUR, 4);
}

/**
 * Decimal digits of the 64-bit integer `high * 2^32 + low`, exact, without a BigInt (measured:
 * 200 ns each). Long division by 10^9 in steps whose intermediate values stay below 2^53.
 */
export function writeInteger64(text: Buffer, to: number, high: number, low: number): number {
  if (high === 0) return writeInteger(text, to, low);
  const highQuotient = Math.floor(high / TEN_TO_NINE);
  const upper = (high - highQuotient * TEN_TO_NINE) * SHORT_LIMIT + (low >>> 16);
  const upperQuotient = Math.floor(upper / TEN_TO_NINE);
  const lower = (upper - upperQuotient * TEN_TO_NINE) * SHORT_LIMIT + (low & 0xffff);
  const lowerQuotient = Math.floor(lower / TEN_TO_NINE);
  const nine = lower - lowerQuotient * TEN_TO_NINE;
  const quotient = (highQuotient * SHORT_LIMIT + upperQuotient) * SHORT_LIMIT + lowerQuotient;

  const top = Math.floor(quotient / TEN_TO_NINE);
  const middle = quotient - top * TEN_TO_NINE;
  const next =
    top === 0
      ? writeInteger(text, to, middle)
      : writeNine(text, writeInteger(text, to, top), middle);
  return writeNine(text, next, nine);
}

/** `size` bytes as a quoted lowercase hex string. */
export function writeHex(
  text: Buffer,
  to: number,
  bytes: Buffer,
  start: number,
  size: number,
): number {
  let next = to;
  text[next++] = QUOTE;
  for (let at = start; at < start + size; at++) {
    const byte = u8(bytes, at);
    text[next++] = u8(hexDigits, byte >>> 4);
    text[next++] = u8(hexDigits, byte & 15);
  }
  text[next++] = QUOTE;
  return next;
}
