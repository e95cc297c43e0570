import { u8, u16 } from './bytes.ts';
import { type DecodeError, decodeError } from './decode-error.ts';

/**
 * Maximum number of IO elements in a record. A whole AVL packet of 1,280 bytes (the devices' own limit)
 * holds about 400, so this refuses only what no device sends.
 */
export const maxIoElements = 1024;

/** How an IO section is laid out; one per codec (protocol: table of AVL records). */
export interface IoLayout {
  readonly idBytes: 1 | 2;
  readonly countBytes: 1 | 2;
  /** The section begins with the number of all its elements. */
  readonly hasTotal: boolean;
  /** Value widths of the fixed groups, in wire order. */
  readonly widths: readonly number[];
  /** A last group whose elements carry their own 2-byte length. */
  readonly hasVariable: boolean;
}

/** A record's IO elements, still in the packet's bytes; they are never copied. */
export interface IoSection {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly layout: IoLayout;
}

export interface IoElement {
  readonly id: number;
  /** Bytes of the value on the wire. */
  readonly width: number;
  /** The value, lowercase. */
  readonly hex: string;
}

/** An offset in a packet; `end` is the first byte that must not be read. */
export interface Cursor {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
}

export function truncated(expected: string, at: number, needed: number, end: number): DecodeError {
  return decodeError(
    'truncated',
    `${expected}: expected ${needed} more bytes at offset ${at}, ${end - at} are left`,
    Math.min(at, end),
  );
}

/**
 * Walks an IO section and moves the cursor past it.
 *
 * `truncated` leaves the cursor where it was: nothing after it can be read. `io_count_mismatch`
 * and `attribute_count` move it: the groups delimit themselves, so only this record is bad.
 */
export function walkIo(cursor: Cursor, layout: IoLayout): DecodeError | null {
  const { bytes, end } = cursor;
  const { idBytes, countBytes } = layout;
  const start = cursor.at;
  let at = start;
  let total = 0;
  let found = 0;
  if (layout.hasTotal) {
    if (at + countBytes > end) return truncated('IO total', at, countBytes, end);
    total = countBytes === 1 ? u8(bytes, at) : u16(bytes, at);
    at += countBytes;
  }
  for (const width of layout.widths) {
    if (at + countBytes > end) return truncated('IO group count', at, countBytes, end);
    const count = countBytes === 1 ? u8(bytes, at) : u16(bytes, at);
    at += countBytes;
    const size = count * (idBytes + width);
    if (at + size > end) return truncated(`IO group of ${width}-byte values`, at, size, end);
    at += size;
    found += count;
  }
  if (layout.hasVariable) {
    if (at + countBytes > end) return truncated('IO group count', at, countBytes, end);
    const count = countBytes === 1 ? u8(bytes, at) : u16(bytes, at);
    at += countBytes;
    for (let index = 0; index < count; index += 1) {
      const header = idBytes + 2;
      if (at + header > end) return truncated('IO id and length', at, header, end);
      const length = u16(bytes, at + idBytes);
      at += header;
      if (at + length > end) return truncated('IO value', at, length, end);
      at += length;
    }
    found += count;
  }
  cursor.at = at;
  if (layout.hasTotal && total !== found) {
    return decodeError(
      'io_count_mismatch',
      `the IO total says ${total}, the groups hold ${found}`,
      start,
    );
  }
  if (found > maxIoElements) {
    return decodeError(
      'attribute_count',
      `${found} IO elements, at most ${maxIoElements} are taken`,
      start,
    );
  }
  return null;
}

/** A section's elements in wire order. One index is reused for all records. */
export interface IoIndex {
  /** Elements that are valid in the arrays. */
  count: number;
  /** Elements of the groups with a fixed width; those after them carry their own length. */
  fixedCount: number;
  readonly ids: Uint16Array;
  /** Offset of each value in the packet. */
  readonly offsets: Int32Array;
  /** Bytes of each value. */
  readonly widths: Uint16Array;
}

export function createIoIndex(): IoIndex {
  return {
    count: 0,
    fixedCount: 0,
    ids: new Uint16Array(maxIoElements),
    offsets: new Int32Array(maxIoElements),
    widths: new Uint16Array(maxIoElements),
  };
}

/**
 * Fills `index` with the elements of a section that `walkIo` accepted, so it checks nothing.
 * `walkIo` steps over whole groups; one function for both costs 4 to 7 % of decoding and attributes
 * (measured, see decision 0041).
 */
export function indexIo({ bytes, start, layout }: IoSection, index: IoIndex): void {
  const { ids, offsets, widths } = index;
  const { idBytes, countBytes } = layout;
  let at = start + (layout.hasTotal ? countBytes : 0);
  let element = 0;
  for (const width of layout.widths) {
    const groupEnd = element + (countBytes === 1 ? u8(bytes, at) : u16(bytes, at));
    at += countBytes;
    for (; element < groupEnd; element += 1) {
      ids[element] = idBytes === 1 ? u8(bytes, at) : u16(bytes, at);
      offsets[element] = at + idBytes;
      widths[element] = width;
      at += idBytes + width;
    }
  }
  index.fixedCount = element;
  if (layout.hasVariable) {
    const groupEnd = element + (countBytes === 1 ? u8(bytes, at) : u16(bytes, at));
    at += countBytes;
    for (; element < groupEnd; element += 1) {
      const width = u16(bytes, at + idBytes);
      ids[element] = idBytes === 1 ? u8(bytes, at) : u16(bytes, at);
      offsets[element] = at + idBytes + 2;
      widths[element] = width;
      at += idBytes + 2 + width;
    }
  }
  index.count = element;
}

/** The elements as a list, in wire order and with repeats: for people, not for the write path. */
export function ioElements(io: IoSection): IoElement[] {
  const index = createIoIndex();
  indexIo(io, index);
  return Array.from({ length: index.count }, (_, element) => {
    const width = index.widths[element] ?? 0;
    const offset = index.offsets[element] ?? 0;
    return {
      id: index.ids[element] ?? 0,
      width,
      hex: io.bytes.toString('hex', offset, offset + width),
    };
  });
}
