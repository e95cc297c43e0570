import type { ByteRange } from '../core/types.ts';
import type { AvlRecord, Cell } from './avl-record.ts';
import { u8, u16, u32 } from './bytes.ts';
import { createIoIndex, type IoIndex, indexIo, maxIoElements } from './io.ts';
import { writeHex, writeInteger, writeInteger64 } from './json-text.ts';
import { TextArena } from './text-arena.ts';

/** Above this an 8-byte value has no exact JSON number: its high word is 2^21 or more. */
const exactHighWords = 0x20_0000;

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const open = 0x7b;
const close = 0x7d;

/**
 * No element's text is longer than five times its bytes (the worst is a 1-byte value under a
 * 1-byte id: 2 bytes, `"255":255,`); the braces and codec 7's cell data fit the constant.
 */
const textPerByte = 5;
const fixedTextBytes = 160;

/** The texts, written where they stay until their rows are stored. */
const arena = new TextArena();

/**
 * Scratch space, so that a record costs no allocation. Every call fills it before it
 * reads it and calls are synchronous, so it carries nothing from one call to the next.
 */
const scratch = {
  index: createIoIndex(),
  order: new Int32Array(maxIoElements),
};
const elementBits = 10;
const elementMask = maxIoElements - 1;

/**
 * The jsonb text of a record's IO values, written straight from the wire: keys are decimal IO
 * ids in ascending order, so that equal content is equal text in any wire order. A value
 * of up to 53 bits is a number, unsigned as on the wire; a larger one a decimal string; bytes are
 * a lowercase hex string. An id that the wire repeats keeps its last value. Codec 7 adds the
 * named keys `lac`, `cid`, `rssi` and `operator`.
 */
export function attributesJson(record: AvlRecord): ByteRange {
  const { io } = record;
  const { order, index } = scratch;
  const text = arena.reserve((io.end - io.start) * textPerByte + fixedTextBytes);
  indexIo(io, index);
  orderById(order, index);
  const { count } = index;

  const start = arena.at;
  text[start] = open;
  let at = start + 1;
  for (let rank = 0; rank < count; rank += 1) {
    const key = order[rank] ?? 0;
    const id = key >>> elementBits;
    // Elements of one id are in wire order, and the last one wins.
    if (rank + 1 < count && (order[rank + 1] ?? 0) >>> elementBits === id) continue;
    if (at > start + 1) text[at++] = comma;
    text[at++] = quote;
    at = writeInteger(text, at, id);
    text[at++] = quote;
    text[at++] = colon;
    at = writeValue(text, at, io.bytes, index, key & elementMask);
  }
  if (record.cell !== null) at = writeCell(text, at, record.cell, at === start + 1);
  text[at++] = close;
  return arena.take(at);
}

/**
 * Writes `id << 10 | element` per element, in ascending order: by id, and elements of the same id
 * in wire order.
 */
function orderById(order: Int32Array, { ids, count }: IoIndex): void {
  for (let element = 0; element < count; element += 1) {
    order[element] = ((ids[element] ?? 0) << elementBits) | element;
  }
  sortAscending(order, count);
}

/** Insertion for the usual few dozen, nearly sorted; the engine's own sort beyond. */
function sortAscending(order: Int32Array, count: number): void {
  if (count > 64) {
    order.subarray(0, count).sort();
    return;
  }
  for (let index = 1; index < count; index += 1) {
    const moving = order[index] ?? 0;
    let to = index - 1;
    for (; to >= 0; to -= 1) {
      const other = order[to] ?? 0;
      if (other <= moving) break;
      order[to + 1] = other;
    }
    order[to + 1] = moving;
  }
}

/** Values of 1, 2, 4 and 8 bytes are numbers; other widths and values with a length are hex. */
function writeValue(
  text: Buffer,
  to: number,
  bytes: Buffer,
  { offsets, widths, fixedCount }: IoIndex,
  element: number,
): number {
  const at = offsets[element] ?? 0;
  const width = widths[element] ?? 0;
  if (element >= fixedCount) return writeHex(text, to, bytes, at, width);
  switch (width) {
    case 1:
      return writeInteger(text, to, u8(bytes, at));
    case 2:
      return writeInteger(text, to, u16(bytes, at));
    case 4:
      return writeInteger(text, to, u32(bytes, at));
    case 8:
      return writeEight(text, to, bytes, at);
    default:
      return writeHex(text, to, bytes, at, width);
  }
}

function writeEight(text: Buffer, to: number, bytes: Buffer, at: number): number {
  const high = u32(bytes, at);
  const low = u32(bytes, at + 4);
  if (high < exactHighWords) return writeInteger64(text, to, high, low);
  text[to] = quote;
  const next = writeInteger64(text, to + 1, high, low);
  text[next] = quote;
  return next + 1;
}

const cellNames = ['lac', 'cid', 'rssi', 'operator'] as const;

function writeCell(text: Buffer, to: number, cell: Cell, isFirst: boolean): number {
  let at = to;
  for (const name of cellNames) {
    const value = cell[name];
    if (value === null) continue;
    const key = isFirst && at === to ? `"${name}":` : `,"${name}":`;
    at = writeInteger(text, at + text.write(key, at, 'latin1'), value);
  }
  return at;
}
