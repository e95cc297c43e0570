/** Number of slots of every Redis Cluster. */
export const slotCount = 16_384;

/**
 * The slot of a key: CRC16/XMODEM of the text in its first pair of braces, or of the whole key where
 * that text is empty (Redis Cluster specification).
 */
export function slotOf(key: string): number {
  return crc16(Buffer.from(hashedPart(key))) % slotCount;
}

function hashedPart(key: string): string {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}

function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xffff;
  }
  return crc;
}
