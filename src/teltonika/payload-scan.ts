import { ByteRange, hasBytesAt } from '../core/types.ts';
import { deviceIdAt, imeiDigits } from './device-ids.ts';
import { maxIoElements } from './io.ts';
import { isoMsAt } from './iso-time.ts';
import { bigintText, bytesText } from './payload-attributes.ts';
import { TextArena } from './text-arena.ts';

/** The record of a payload entry: its shape is checked, its ranges are not. */
export interface PayloadRecord {
  readonly kind: 'payload';
  readonly deviceId: string;
  /** Epoch milliseconds of `timestamp`. */
  readonly ts: number;
  readonly latitude: number;
  readonly longitude: number;
  readonly altitude: number;
  readonly angle: number;
  readonly speed: number;
  readonly satellites: number;
  readonly priority: number;
  readonly eventIoId: number | null;
  readonly generationType: number | null;
  /** The jsonb text, equal to that of a frame entry with the same values; ASCII. */
  readonly attributes: string | ByteRange;
}

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const minus = 0x2d;
const dot = 0x2e;
const zero = 0x30;
const open = 0x7b;
const close = 0x7d;

/** Up to 15 digits are an exact integer, and one division by an exact power of ten rounds right. */
const mostDigits = 15;
const powersOfTen = Array.from({ length: mostDigits + 1 }, (_, power) => 10 ** power);
/** `2026-01-02T03:04:05.678Z` */
const timeCharacters = 24;
const maxIoId = 65_535;

const ascii = (text: string) => Buffer.from(text, 'latin1');

/** The text between the values, as bytes: comparing with a string took five times as long. */
const words = {
  deviceId: ascii('{"device_id":"'),
  timestamp: ascii('","timestamp":"'),
  latitude: ascii('","latitude":'),
  longitude: ascii(',"longitude":'),
  altitude: ascii(',"altitude":'),
  angle: ascii(',"angle":'),
  speed: ascii(',"speed":'),
  satellites: ascii(',"satellites":'),
  priority: ascii(',"priority":'),
  eventIoId: ascii(',"event_io_id":'),
  generationType: ascii(',"generation_type":'),
  attributes: ascii(',"attributes":'),
  bigint: ascii('{"__bigint":"'),
  buffer: ascii('{"__buffer_b64":"'),
  sentinelEnd: ascii('"}'),
};

/** For the attributes that are not the reply's own bytes. */
const arena = new TextArena();
/** Base64 becomes hex, which is half as long again; every other text becomes shorter. */
const canonicalGrowth = 1.5;

/**
 * Reads a payload in the one form that `JSON.stringify` gives it in the contract's order, straight
 * from its bytes: no text, no object, no key (measured: a fifth of the CPU of JSON.parse, zod and
 * the walk, and less garbage). Returns null for a payload written in any other way, valid or not: the
 * full reading decides then. A payload that the scan accepts, the full reading accepts with the same
 * values (property test).
 */
export function scanPayload(payload: ByteRange): PayloadRecord | null {
  const scan = new PayloadScan(payload);
  if (!scan.passes(words.deviceId)) return null;
  const deviceId = scan.deviceId();
  if (!scan.passes(words.timestamp)) return null;
  const ts = scan.time();
  if (deviceId === null || ts === null || !scan.passes(words.latitude)) return null;
  const latitude = scan.number();
  if (!scan.passes(words.longitude)) return null;
  const longitude = scan.number();
  if (!scan.passes(words.altitude)) return null;
  const altitude = scan.number();
  if (!scan.passes(words.angle)) return null;
  const angle = scan.number();
  if (!scan.passes(words.speed)) return null;
  const speed = scan.number();
  if (!scan.passes(words.satellites)) return null;
  const satellites = scan.number();
  if (!scan.passes(words.priority)) return null;
  const priority = scan.number();
  const eventIoId = scan.passes(words.eventIoId) ? scan.number() : null;
  const generationType = scan.passes(words.generationType) ? scan.number() : null;
  if (!scan.passes(words.attributes)) return null;
  const attributes = scan.attributes();
  if (attributes === null || !scan.endsWith(close)) return null;
  return {
    kind: 'payload',
    deviceId,
    ts,
    latitude,
    longitude,
    altitude,
    angle,
    speed,
    satellites,
    priority,
    eventIoId,
    generationType,
    attributes,
  };
}

/**
 * One pass over the bytes; after the first unexpected byte it stays failed. Bytes behind the payload
 * may be read (those of the next field or reply), and a pass that ends behind the payload has failed.
 * Bytes are read by index: calls of a function for each were no longer inlined (measured).
 */
class PayloadScan {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;
  #hasFailed = false;

  constructor({ bytes, start, end }: ByteRange) {
    this.#bytes = bytes;
    this.#end = end;
    this.#at = start;
  }

  /** Whether everything was as expected, and exactly this byte is left. */
  endsWith(byte: number): boolean {
    return !this.#hasFailed && this.#at === this.#end - 1 && this.#bytes[this.#at] === byte;
  }

  /** Steps over these bytes if they are what comes next. */
  passes(word: Buffer): boolean {
    if (!hasBytesAt(this.#bytes, this.#at, word)) return false;
    this.#at += word.length;
    return true;
  }

  deviceId(): string | null {
    const start = this.#at;
    this.#at = start + imeiDigits;
    return deviceIdAt(this.#bytes, start);
  }

  time(): number | null {
    const start = this.#at;
    this.#at = start + timeCharacters;
    return isoMsAt(this.#bytes, start, this.#at);
  }

  /** A JSON number without an exponent, of few enough digits to be exact. */
  number(): number {
    const bytes = this.#bytes;
    const isNegative = bytes[this.#at] === minus;
    if (isNegative) this.#at += 1;
    const start = this.#at;
    let value = this.#digitsAfter(0);
    let digits = this.#at - start;
    if (digits === 0 || (digits > 1 && bytes[start] === zero)) this.#hasFailed = true;
    if (bytes[this.#at] === dot) {
      this.#at += 1;
      const fractionAt = this.#at;
      value = this.#digitsAfter(value);
      const places = this.#at - fractionAt;
      digits += places;
      if (places === 0) this.#hasFailed = true;
      value /= powersOfTen[places] ?? Number.NaN;
    }
    if (digits > mostDigits) this.#hasFailed = true;
    return isNegative ? -value : value;
  }

  /** Steps over digits. @returns the number that they write behind those of `value` */
  #digitsAfter(value: number): number {
    const bytes = this.#bytes;
    let at = this.#at;
    let number = value;
    for (
      let digit = (bytes[at] ?? 0) - zero;
      digit >= 0 && digit <= 9;
      digit = (bytes[at] ?? 0) - zero
    ) {
      number = number * 10 + digit;
      at += 1;
    }
    this.#at = at;
    return number;
  }

  /**
   * The attributes' bytes where they are the canonical text already: ids ascending, each once, integers
   * for values. Where a sentinel is among the values, a canonical copy of them. Null for any other.
   */
  attributes(): ByteRange | null {
    const bytes = this.#bytes;
    const start = this.#at;
    if (bytes[start] !== open) return null;
    let at = start + 1;
    let newest = -1;
    let copy: CanonicalCopy | null = null;
    for (let count = 0; bytes[at] !== close; count += 1) {
      if (count > 0 && bytes[at++] !== comma) return null;
      if (count === maxIoElements || bytes[at] !== quote) return null;
      const idAt = at + 1;
      this.#at = idAt;
      const id = this.#digitsAfter(0);
      at = this.#at;
      // In canonical digits, and above the id before.
      const hasLeadingZero = bytes[idAt] === zero && at > idAt + 1;
      if (at === idAt || hasLeadingZero || id <= newest || id > maxIoId) return null;
      if (bytes[at] !== quote || bytes[at + 1] !== colon) return null;
      newest = id;
      at += 2;
      if (bytes[at] === open) {
        copy ??= new CanonicalCopy(bytes, start, this.#end);
        at = copy.sentinel(at);
      } else {
        at = integerEnd(bytes, at);
      }
      if (at < 0) return null;
    }
    this.#at = at + 1;
    return copy === null ? new ByteRange(bytes, start, at + 1) : copy.finish(at + 1);
  }
}

/** The offset behind an integer as JavaScript prints it, or -1; -0 it prints as 0. */
function integerEnd(bytes: Buffer, from: number): number {
  const isNegative = bytes[from] === minus;
  const start = isNegative ? from + 1 : from;
  let at = start;
  for (
    let digit = (bytes[at] ?? 0) - zero;
    digit >= 0 && digit <= 9;
    digit = (bytes[at] ?? 0) - zero
  ) {
    at += 1;
  }
  const digits = at - start;
  const hasLeadingZero = bytes[start] === zero && (digits > 1 || isNegative);
  return digits === 0 || digits > mostDigits || hasLeadingZero ? -1 : at;
}

/** Attributes with the canonical text in the place of each sentinel, in the arena. */
class CanonicalCopy {
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #target: Buffer;
  #to: number;
  /** Up to here the bytes are copied. */
  #from: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#end = end;
    this.#target = arena.reserve(Math.ceil((end - start) * canonicalGrowth));
    this.#to = arena.at;
    this.#from = start;
  }

  /** Replaces the sentinel that begins at `at`. @returns the offset behind it, -1 if it is none */
  sentinel(at: number): number {
    const isInteger = hasBytesAt(this.#bytes, at, words.bigint);
    if (!isInteger && !hasBytesAt(this.#bytes, at, words.buffer)) return -1;
    const start = at + (isInteger ? words.bigint : words.buffer).length;
    let end = start;
    while (end < this.#end && this.#bytes[end] !== quote) end += 1;
    const content = this.#bytes.toString('latin1', start, end);
    const text = isInteger ? bigintText(content) : bytesText(content);
    if (text === null || !hasBytesAt(this.#bytes, end, words.sentinelEnd)) return -1;
    this.#copyTo(at);
    this.#to += this.#target.write(text, this.#to, 'latin1');
    this.#from = end + words.sentinelEnd.length;
    return this.#from;
  }

  finish(end: number): ByteRange {
    this.#copyTo(end);
    return arena.take(this.#to);
  }

  #copyTo(end: number): void {
    this.#to += this.#bytes.copy(this.#target, this.#to, this.#from, end);
  }
}
