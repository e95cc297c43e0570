import type { AvlRecord, Cell } from './avl-record.ts';
import { u8, u16, u32 } from './bytes.ts';
import { type IoSection, MAX_IO_ELEMENTS } from './io.ts';
import { writeHex, writeInteger, writeInteger64 } from './json-text.ts';

/** Above this an 8-byte value has no exact JSON number: its high word is 2^21 or more. */
const EXACT_HIGH_WORDS = 0x20_0000;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/**
 * No element's text is longer than five times its bytes (the worst is a 1-byte value under a
 * 1-byte id: 2 bytes, `"255":255,`); the braces and codec 7's cell data fit the constant.
 */
const TEXT_PER_BYTE = 5;
const TEXT_ROOM = 160;

/** How an element's value is written; the fixed widths by themselves, the others as hex. */
const VARIABLE = 0;

/**
 * Scratch space. Every call fills it before it reads it and calls are synchronous, so it carries
 * nothing from one to the next; it is here so that a record costs one allocation, its text.
 */
const scratch = {
  /** `id << 10 | index` per element, so that a plain sort orders by id and then by place. */
  order: new Int32Array(MAX_IO_ELEMENTS),
  /** `valueOffset << 5 | width` per element, the width 0 for a variable one. */
  places: new Int32Array(MAX_IO_ELEMENTS),
  text: Buffer.allocUnsafeSlow(16_384),
};
const INDEX_BITS = 10;
const INDEX_MASK = MAX_IO_ELEMENTS - 1;
const WIDTH_BITS = 5;
const WIDTH_MASK = 31;

/**
 * The jsonb text of a record's IO values, written straight from the wire: keys are decimal IO
 * ids in ascending order, so that equal content is equal text whatever order it came in. A value
 * of up to 53 bits is a number, unsigned as on the wire; a larger one a decimal string; bytes are
 * a lowercase hex string. An id that the wire repeats keeps its last value. Codec 7 adds the
 * named keys `lac`, `cid`, `rssi` and `operator`.
 */
export function attributesJson(record: AvlRecord): string {
  const { io } = record;
  const { order, places } = scratch;
  const room = (io.end - io.start) * TEXT_PER_BYTE + TEXT_ROOM;
  const text = room <= scratch.text.length ? scratch.text : Buffer.allocUnsafeSlow(room);
  const count = indexElements(io);
  sortAscending(order, count);

  text[0] = OPEN;
  let at = 1;
  for (let index = 0; index < count; index++) {
    const entry = order[index] ?? 0;
    const id = entry >>> INDEX_BITS;
    // Within one id the later place sorts later: the last one wins.
    if (index + 1 < count && (order[index + 1] ?? 0) >>> INDEX_BITS === id) continue;
    if (at > 1) text[at++] = COMMA;
    text[at++] = QUOTE;
    at = writeInteger(text, at, id);
    text[at++] = QUOTE;
    text[at++] = COLON;
    at = writeValue(text, at, io.bytes, places[entry & INDEX_MASK] ?? 0);
  }
  if (record.cell !== null) at = writeCell(text, at, record.cell);
  text[at++] = CLOSE;
  return text.toString('latin1', 0, at);
}

/** Fills `order` and `places` with the elements in wire order; returns how many there are. */
function indexElements(io: IoSection): number {
  const { order, places } = scratch;
  const { bytes, layout } = io;
  const { idBytes, countBytes } = layout;
  let at = io.start + (layout.hasTotal ? countBytes : 0);
  let found = 0;
  for (const width of layout.widths) {
    let count = countBytes === 1 ? u8(bytes, at) : u16(bytes, at);
    at += countBytes;
    for (; count > 0 && found < MAX_IO_ELEMENTS; count--) {
      const id = idBytes === 1 ? u8(bytes, at) : u16(bytes, at);
      order[found] = (id << INDEX_BITS) | found;
      places[found] = ((at + idBytes) << WIDTH_BITS) | width;
      found++;
      at += idBytes + width;
    }
  }
  if (!layout.hasVariable) return found;
  let count = countBytes === 1 ? u8(bytes, at) : u16(bytes, at);
  at += countBytes;
  for (; count > 0 && found < MAX_IO_ELEMENTS; count--) {
    const id = idBytes === 1 ? u8(bytes, at) : u16(bytes, at);
    order[found] = (id << INDEX_BITS) | found;
    at += idBytes + 2;
    places[found] = (at << WIDTH_BITS) | VARIABLE;
    found++;
    at += u16(bytes, at - 2);
  }
  return found;
}

/** Insertion for the usual few dozen, nearly sorted; the engine's own sort beyond. */
function sortAscending(order: Int32Array, count: number): void {
  if (count > 64) {
    order.subarray(0, count).sort();
    return;
  }
  for (let index = 1; index < count; index++) {
    const moving = order[index] ?? 0;
    let to = index - 1;
    for (; to >= 0; to--) {
      const other = order[to] ?? 0;
      if (other <= moving) break;
      order[to + 1] = other;
    }
    order[to + 1] = moving;
  }
}

function writeValue(text: Buffer, to: number, bytes: Buffer, place: number): number {
  const at = place >>> WIDTH_BITS;
  const width = place & WIDTH_MASK;
  switch (width) {
    case 1:
      return writeInteger(text, to, u8(bytes, at));
    case 2:
      return writeInteger(text, to, u16(bytes, at));
    case 4:
      return writeInteger(text, to, u32(bytes, at));
    case 8:
      return writeEight(text, to, bytes, at);
    case VARIABLE:
      return writeHex(text, to, bytes, at, u16(bytes, at - 2));
    default:
      return writeHex(text, to, bytes, at, width);
  }
}

function writeEight(text: Buffer, to: number, bytes: Buffer, at: number): number {
  const high = u32(bytes, at);
  const low = u32(bytes, at + 4);
  if (high < EXACT_HIGH_WORDS) return writeInteger64(text, to, high, low);
  text[to] = QUOTE;
  const next = writeInteger64(text, to + 1, high, low);
  text[next] = QUOTE;
  return next + 1;
}

function writeCell(text: Buffer, to: number, cell: Cell): number {
  let at = writeNamed(text, to, 'lac', cell.lac);
  at = writeNamed(text, at, 'cid', cell.cid);
  at = writeNamed(text, at, 'rssi', cell.rssi);
  return writeNamed(text, at, 'operator', cell.operator);
}

function writeNamed(text: Buffer, to: number, name: keyof Cell, value: number | null): number {
  if (value === null) return to;
  const key = to > 1 ? `,"${name}":` : `"${name}":`;
  return writeInteger(text, to + text.write(key, to, 'latin1'), value);
}
