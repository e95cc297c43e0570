import { type DecodeError, decodeError } from './decode-error.ts';
import { maxIoElements } from './io.ts';

const maxIoId = 65_535;
const maxU64 = 0xffff_ffff_ffff_ffffn;
const maxBigintDigits = 20;
/** Any integer of up to 15 digits is exact. */
const alwaysSafeDigits = 15;
/** The wire's length of a variable element is 16 bits. */
const maxValueBytes = 65_535;

/**
 * Writes the jsonb text of a payload entry's `attributes`, equal to that of a frame (`attributesJson`):
 * ids ascending, numbers as JavaScript prints them, an integer beyond 2^53 - 1 as a decimal
 * string, bytes as lowercase hex. `attribute_invalid` or `attribute_count` on failure.
 *
 * `attributes` comes from JSON.parse: its keys are own keys, and integer keys come ascending.
 */
export function payloadAttributesJson(attributes: unknown): string | DecodeError {
  if (!isObject(attributes)) {
    return decodeError('payload_shape', 'attributes: expected an object', null);
  }
  const keys = Object.keys(attributes);
  if (keys.length > maxIoElements) {
    return decodeError(
      'attribute_count',
      `${keys.length} attributes, at most ${maxIoElements} are taken`,
      null,
    );
  }
  let json = '{';
  for (const key of keys) {
    if (!isIoId(key)) return invalid('expected IO ids from 0 to 65535 as keys');
    const text = valueText(attributes[key]);
    if (text === null) {
      return invalid(
        `IO ${key}: expected a safe number, {"__bigint": 1 to 20 digits} or {"__buffer_b64": base64}`,
      );
    }
    json += json.length === 1 ? `"${key}":${text}` : `,"${key}":${text}`;
  }
  return `${json}}`;
}

function invalid(message: string): DecodeError {
  return decodeError('attribute_invalid', message, null);
}

/** Canonical decimal digits from 0 to 65535. */
function isIoId(key: string): boolean {
  if (key.length === 0 || key.length > 5) return false;
  let id = 0;
  for (let at = 0; at < key.length; at += 1) {
    const digit = key.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return false;
    id = id * 10 + digit;
  }
  return id <= maxIoId && (key.length === 1 || key.charCodeAt(0) !== 0x30);
}

function valueText(value: unknown): string | null {
  if (typeof value === 'number') return numberText(value);
  if (!isObject(value)) return null;
  const names = Object.keys(value);
  const name = names[0];
  if (name === undefined || names.length !== 1) return null;
  const content = value[name];
  if (typeof content !== 'string') return null;
  if (name === '__bigint') return bigintText(content);
  return name === '__buffer_b64' ? bytesText(content) : null;
}

function numberText(value: number): string | null {
  if (!Number.isFinite(value)) return null;
  // An unsafe integer has already lost digits in JSON.parse.
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? null : String(value);
}

/** The canonical text of `__bigint`'s digits, or null. */
export function bigintText(digits: string): string | null {
  if (digits.length === 0 || digits.length > maxBigintDigits) return null;
  for (let at = 0; at < digits.length; at += 1) {
    const code = digits.charCodeAt(at);
    if (code < 0x30 || code > 0x39) return null;
  }
  if (digits.length <= alwaysSafeDigits) return String(Number(digits));
  // Any integer of 17 to 19 digits is beyond 2^53 - 1 and fits 64 bits.
  if (digits.length >= 17 && digits.length <= 19 && !digits.startsWith('0')) return `"${digits}"`;
  const value = BigInt(digits);
  if (value > maxU64) return null;
  return value <= Number.MAX_SAFE_INTEGER ? value.toString() : `"${value}"`;
}

/** The canonical text of `__buffer_b64`'s bytes, or null. */
export function bytesText(base64: string): string | null {
  if (base64.length > Math.ceil(maxValueBytes / 3) * 4) return null;
  const bytes = Buffer.from(base64, 'base64');
  // Buffer.from skips invalid characters, so the bytes are encoded again and compared.
  if (bytes.length > maxValueBytes || bytes.toString('base64') !== base64) return null;
  return `"${bytes.toString('hex')}"`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
