import { u8 } from './bytes.ts';

const reflectedPolynomial = 0xa001;

/** Eight tables of 256: table k holds the CRC of a byte followed by k zero bytes. */
const tables = buildTables();

function buildTables(): Uint16Array {
  const all = new Uint16Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = crc & 1 ? (crc >>> 1) ^ reflectedPolynomial : crc >>> 1;
    }
    all[byte] = crc;
  }
  for (let at = 256; at < all.length; at += 1) {
    const shorter = all[at - 256] ?? 0;
    all[at] = (shorter >>> 8) ^ (all[shorter & 0xff] ?? 0);
  }
  return all;
}

function entry(table: number, byte: number): number {
  return tables[(table << 8) | byte] ?? 0;
}

/**
 * CRC-16/IBM (ARC): polynomial 0x8005 reflected, start 0, no final xor, over `start` to `end`.
 * Source: FMXXXX Protocols V2.10; check value of "123456789" is 0xBB3D.
 * Eight bytes a step, because one byte a step waits for its own table look-up every time.
 */
export function crc16(bytes: Buffer, start: number, end: number): number {
  let crc = 0;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    crc =
      entry(7, (crc & 0xff) ^ u8(bytes, at)) ^
      entry(6, (crc >>> 8) ^ u8(bytes, at + 1)) ^
      entry(5, u8(bytes, at + 2)) ^
      entry(4, u8(bytes, at + 3)) ^
      entry(3, u8(bytes, at + 4)) ^
      entry(2, u8(bytes, at + 5)) ^
      entry(1, u8(bytes, at + 6)) ^
      entry(0, u8(bytes, at + 7));
  }
  for (; at < end; at += 1) {
    crc = (crc >>> 8) ^ entry(0, (crc ^ u8(bytes, at)) & 0xff);
  }
  return crc;
}
