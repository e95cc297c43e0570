import { u8, u16 } from './bytes.ts';
import { type DecodeError, decodeError } from './decode-error.ts';

/**
 * Most IO elements a record may hold. A whole AVL packet of 1,280 bytes (the devices' own cap)
 * has room for about 400, so this refuses only what no device sends.
 */
export const MAX_IO_ELEMENTS = 1024;

/** How an IO section is laid out; one per codec (protocol: table of AVL records). */
export interface IoLayout {
  readonly idBytes: 1 | 2;
  readonly countBytes: 1 | 2;
  /** A total of all elements stands before the groups. */
  readonly hasTotal: boolean;
  /** Value widths of the fixed groups, in wire order. */
  readonly widths: readonly number[];
  /** A last group whose elements carry their own 2-byte length. */
  readonly hasVariable: boolean;
}

/** A record's IO elements, still in the packet's bytes: walked once, copied never. */
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

/** A place in a packet; `end` is the first byte that is not ours to read. */
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
    for (let index = 0; index < count; index++) {
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
  if (found > MAX_IO_ELEMENTS) {
    return decodeError(
      'attribute_count',
      `${found} IO elements, at most ${MAX_IO_ELEMENTS} are taken`,
      start,
    );
  }
  return null;
}

/** One element's place: where its value starts, and how wide it is. */
export type IoVisitor = (id: number, valueAt: number, width: number) => void;

/** Visits the elements of a walked section in wire order. */
export function eachIoElement(io: IoSection, visit: IoVisitor): void {
  const { bytes, layout } = io;
  const { idBytes, countBytes } = layout;
  let at = io.start + (layout.hasTotal ? countBytes : 0);
  for (const width of layout.widths) {
    const count = countBytes === 1 ? u8(bytes, at) : u16(bytes, at);
    at += countBytes;
    for (let index = 0; index < count; index++) {
      visit(idBytes === 1 ? u8(bytes, at) : u16(bytes, at), at + idBytes, width);
      at += idBytes + width;
    }
  }
  if (!layout.hasVariable) return;
  const count = countBytes === 1 ? u8(bytes, at) : u16(bytes, at);
  at += countBytes;
  for (let index = 0; index < count; index++) {
    const id = idBytes === 1 ? u8(bytes, at) : u16(bytes, at);
    const length = u16(bytes, at + idBytes);
    at += idBytes + 2;
    visit(id, at, length);
    at += length;
  }
}

/** The elements as a list, in wire order and with repeats: for people, not for the write path. */
export function ioElements(io: IoSection): IoElement[] {
  const elements: IoElement[] = [];
  eachIoElement(io, (id, valueAt, width) => {
    elements.push({ id, width, hex: io.bytes.toString('hex', valueAt, valueAt + width) });
  });
  return elements;
}
