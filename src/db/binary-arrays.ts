/**
 * Encodes columns in PostgreSQL's binary array format. pg sends a Buffer parameter in binary, so a
 * batch is encoded once, without text that the server must parse: 4.4 µs of client CPU per row
 * instead of 7.1 for text arrays (decision 0001).
 *
 * Format (src/backend/utils/adt/arrayfuncs.c, array_recv): int32 dimensions, int32 has-null
 * flag, int32 element type; per dimension int32 length and int32 lower bound; then each
 * element as int32 byte length (-1 for NULL) and its bytes.
 */

import type { ByteRange } from '../core/types.ts';

export const headerBytes = 20;

export const oid = {
  bool: 16,
  int2: 21,
  int4: 23,
  text: 25,
  float4: 700,
  float8: 701,
  timestamptz: 1184,
  jsonb: 3802,
};

export const jsonbVersion = 1;
/** Length up to which text is written byte by byte; an IMEI has 15 characters. */
const shortText = 16;

/** PostgreSQL's epoch, 2000-01-01, in epoch milliseconds; its timestamps count from there. */
export const postgresEpochMs = 946_684_800_000;
export const twoTo32 = 4_294_967_296;

function allocate(
  elementType: number,
  count: number,
  elementBytes: number,
  hasNull: boolean,
): Buffer {
  const array = Buffer.allocUnsafe(headerBytes + elementBytes);
  writeHeader(array, 0, elementType, count, hasNull);
  return array;
}

/** Writes the header of an array at `start`. @returns the offset behind it */
export function writeHeader(
  bytes: Buffer,
  start: number,
  elementType: number,
  count: number,
  hasNull: boolean,
): number {
  bytes.writeInt32BE(1, start);
  bytes.writeInt32BE(hasNull ? 1 : 0, start + 4);
  bytes.writeInt32BE(elementType, start + 8);
  bytes.writeInt32BE(count, start + 12);
  bytes.writeInt32BE(1, start + 16);
  return start + headerBytes;
}

/** Encodes fixed-width elements: `width` bytes each, NULL where `pick` returns null. */
function encodeFixed<Row>(
  rows: readonly Row[],
  elementType: number,
  width: number,
  pick: (row: Row) => number | null,
  write: (array: Buffer, value: number, offset: number) => void,
): Buffer {
  const array = allocate(elementType, rows.length, rows.length * (4 + width), true);
  let offset = headerBytes;
  for (const row of rows) {
    const value = pick(row);
    if (value === null) {
      array.writeInt32BE(-1, offset);
      offset += 4;
    } else {
      array.writeInt32BE(width, offset);
      write(array, value, offset + 4);
      offset += 4 + width;
    }
  }
  return array.subarray(0, offset);
}

export function encodeInt2<Row>(rows: readonly Row[], pick: (row: Row) => number | null): Buffer {
  return encodeFixed(rows, oid.int2, 2, pick, (array, value, offset) => {
    array.writeInt16BE(value, offset);
  });
}

export function encodeInt4<Row>(rows: readonly Row[], pick: (row: Row) => number | null): Buffer {
  return encodeFixed(rows, oid.int4, 4, pick, (array, value, offset) => {
    array.writeInt32BE(value, offset);
  });
}

export function encodeFloat4<Row>(rows: readonly Row[], pick: (row: Row) => number | null): Buffer {
  return encodeFixed(rows, oid.float4, 4, pick, (array, value, offset) => {
    array.writeFloatBE(value, offset);
  });
}

export function encodeFloat8<Row>(rows: readonly Row[], pick: (row: Row) => number | null): Buffer {
  return encodeFixed(rows, oid.float8, 8, pick, (array, value, offset) => {
    array.writeDoubleBE(value, offset);
  });
}

export function encodeBool<Row>(rows: readonly Row[], pick: (row: Row) => boolean): Buffer {
  return encodeFixed(
    rows,
    oid.bool,
    1,
    (row) => (pick(row) ? 1 : 0),
    (array, value, offset) => {
      array[offset] = value;
    },
  );
}

/** Encodes epoch milliseconds exactly: microseconds of any accepted year fit in 53 bits. */
export function encodeTimestamps<Row>(
  rows: readonly Row[],
  epochMsOf: (row: Row) => number,
): Buffer {
  return encodeFixed(rows, oid.timestamptz, 8, epochMsOf, (array, epochMs, offset) => {
    const micros = (epochMs - postgresEpochMs) * 1000;
    const high = Math.floor(micros / twoTo32);
    array.writeInt32BE(high, offset);
    array.writeUInt32BE(micros - high * twoTo32, offset + 4);
  });
}

/** Encodes ASCII text: IMEIs, codecs. */
export function encodeAsciiText<Row>(rows: readonly Row[], textOf: (row: Row) => string): Buffer {
  return encodeAscii(rows, oid.text, null, textOf);
}

/** Encodes ASCII JSON text as jsonb elements, each after the version byte of jsonb. */
export function encodeAsciiJsonb<Row>(
  rows: readonly Row[],
  textOf: (row: Row) => string | ByteRange,
): Buffer {
  return encodeAscii(rows, oid.jsonb, jsonbVersion, textOf);
}

function encodeAscii<Row>(
  rows: readonly Row[],
  elementType: number,
  lead: number | null,
  textOf: (row: Row) => string | ByteRange,
): Buffer {
  const leadBytes = lead === null ? 0 : 1;
  let bytes = 0;
  for (const row of rows) bytes += 4 + leadBytes + textOf(row).length;
  const array = allocate(elementType, rows.length, bytes, false);
  let offset = headerBytes;
  for (const row of rows) {
    const text = textOf(row);
    array.writeInt32BE(leadBytes + text.length, offset);
    offset += 4;
    if (lead !== null) array[offset] = lead;
    offset += leadBytes;
    offset += writeAscii(array, text, offset);
  }
  return array;
}

/** Writes short text byte by byte, which is faster than calling Node's native write. */
function writeAscii(array: Buffer, text: string | ByteRange, offset: number): number {
  if (typeof text !== 'string') return text.bytes.copy(array, offset, text.start, text.end);
  if (text.length > shortText) return array.write(text, offset, 'latin1');
  for (let i = 0; i < text.length; i += 1) array[offset + i] = text.charCodeAt(i);
  return text.length;
}
