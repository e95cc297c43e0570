import type { IoElement } from './io.ts';
import type { IoFamily } from './io-dictionary/families.ts';
import { type IoElementMeaning, ioRows, meaningsOf } from './io-dictionary/meanings.ts';

export { familyOf, type IoFamily, ioFamilies } from './io-dictionary/families.ts';
export type { IoElementMeaning } from './io-dictionary/meanings.ts';

/** A value as `attributes` has it: an unsigned integer, a decimal string beyond 2^53 - 1, or hex. */
export type StoredIoValue = number | string;

/** Why a reading has the raw value: what it is that the dictionary does not know. */
export type RawNote =
  | 'unknown_model'
  | 'unknown_id'
  | 'unknown_width'
  /** The id is known in more than one width, the row has none, and they read differently. */
  | 'ambiguous_width'
  /** Name and sign are known: the value is the integer, without multiplier and unit. */
  | 'unknown_scale';

/**
 * What a stored value says. `note` is null for a typed value. Otherwise it is a `RawNote`, and
 * `value` is the raw one; or the word that a sensor sent in place of a measurement, such as
 * `not_connected`, and `value` is null.
 */
export interface IoReading {
  readonly name: string | null;
  readonly value: number | string | null;
  readonly unit: string | null;
  readonly note: string | null;
}

const everyLength = 0;
const integerWidths: ReadonlySet<number> = new Set([1, 2, 4, 8]);
const decimal = /^(0|[1-9][0-9]{0,19})$/;
const hexPattern = /^([0-9a-f]{2})*$/;
const printable = /^[\x20-\x7e]*$/;

const keyOf = (id: number, family: IoFamily): string => `${family} ${id}`;

const meanings: ReadonlyMap<string, readonly IoElementMeaning[]> = Map.groupBy(
  ioRows.flatMap(meaningsOf),
  ({ id, family }) => keyOf(id, family),
);

/**
 * The meanings of an IO id on a family's models: with a width at most one, that of this width or
 * else the one of any length; without (`null`, a stored row) one for each width the id is known in.
 */
export function ioMeanings(
  id: number,
  width: number | null,
  family: IoFamily,
): readonly IoElementMeaning[] {
  const known = meanings.get(keyOf(id, family)) ?? [];
  if (width === null) return known;
  const exact = known.filter((meaning) => meaning.width === width);
  return exact.length > 0 ? exact : known.filter((meaning) => meaning.width === everyLength);
}

/**
 * Reads a stored value by a meaning: sign by width, multiplier without floating-point noise,
 * special values as words. An integer beyond 2^53 - 1 is decimal text.
 * @returns null when the value cannot be of this width: too large, no integer, or not hex
 */
export function interpretIo(value: StoredIoValue, meaning: IoElementMeaning): IoReading | null {
  if (meaning.width === everyLength) {
    if (typeof value !== 'string' || !hexPattern.test(value)) return null;
    return named(meaning, bytesReading(value, meaning));
  }
  const raw = storedInteger(value);
  if (raw === null || raw >= 1n << BigInt(meaning.width * 8)) return null;
  if (meaning.kind === 'bytes' || meaning.kind === 'text') {
    const hex = raw.toString(16).padStart(meaning.width * 2, '0');
    return named(meaning, bytesReading(hex, meaning));
  }
  return numberReading(raw, meaning);
}

/**
 * Reads a stored value of an id on a family's models; `family` null is a model that is not known,
 * `width` null a row, where the width is gone. Then each width that the id is known in and the
 * value fits must give the same reading.
 */
export function readIo(
  id: number,
  value: StoredIoValue,
  width: number | null,
  family: IoFamily | null,
): IoReading {
  if (family === null) return unnamed(value, 'unknown_model');
  if (!meanings.has(keyOf(id, family))) return unnamed(value, 'unknown_id');
  const readings = ioMeanings(id, width, family).flatMap((meaning) => {
    const reading = interpretIo(value, meaning);
    return reading === null ? [] : [reading];
  });
  const [first] = readings;
  if (first === undefined) return unnamed(value, 'unknown_width');
  if (readings.every((reading) => isSame(reading, first))) return first;
  return unnamed(value, 'ambiguous_width');
}

/** Reads an element as the wire has it. */
export function readIoElement({ id, width, hex }: IoElement, family: IoFamily | null): IoReading {
  const anyLength =
    family !== null && ioMeanings(id, width, family).some((each) => each.width === everyLength);
  const isInteger = integerWidths.has(width) && !anyLength;
  return readIo(id, isInteger ? exact(BigInt(`0x${hex}`)) : hex, width, family);
}

function numberReading(raw: bigint, meaning: IoElementMeaning): IoReading {
  const integer = meaning.kind === 'signed' ? BigInt.asIntN(meaning.width * 8, raw) : raw;
  const word = meaning.special[integer.toString()];
  if (word !== undefined) return { name: meaning.name, value: null, unit: null, note: word };
  if (meaning.scale === null) {
    const unscaled: RawNote = 'unknown_scale';
    return { name: meaning.name, value: exact(integer), unit: null, note: unscaled };
  }
  return named(meaning, scaled(integer, meaning.scale));
}

/** Integer arithmetic, and one rounding to the nearest double: 127 by 0.1 is 12.7. */
function scaled(integer: bigint, scale: string): number | string {
  const [whole = '', fraction = ''] = scale.split('.');
  const product = integer * BigInt(whole + fraction);
  if (fraction !== '') return Number(`${product}e-${fraction.length}`);
  return exact(product);
}

function exact(integer: bigint): number | string {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? number : integer.toString();
}

/** Text where it is printable, without the NULs and blanks that fill it up; hex otherwise. */
function bytesReading(hex: string, meaning: IoElementMeaning): string {
  if (meaning.kind !== 'text') return hex;
  const text = Buffer.from(hex, 'hex')
    .toString('latin1')
    .replace(/[\0 ]+$/, '');
  return printable.test(text) ? text : hex;
}

function storedInteger(value: StoredIoValue): bigint | null {
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : null;
  }
  return decimal.test(value) ? BigInt(value) : null;
}

function named({ name, unit }: IoElementMeaning, value: number | string): IoReading {
  return { name, value, unit, note: null };
}

function unnamed(value: StoredIoValue, note: RawNote): IoReading {
  return { name: null, value, unit: null, note };
}

function isSame(one: IoReading, other: IoReading): boolean {
  return (
    one.name === other.name &&
    one.value === other.value &&
    one.unit === other.unit &&
    one.note === other.note
  );
}
