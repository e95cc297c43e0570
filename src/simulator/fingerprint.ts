import { hash } from 'node:crypto';
import type { RowContent } from './record.ts';

/** A source is an entry's 44 bits and a record index of 9, exact in a number. */
const entryBitsDivisor = 16;
const indexes = 512;
const lengthBytes = 4;

/** 48 bits of SHA-1: two versions of one key have the same fingerprint once in 10^14 times. */
function fingerprintOf(data: string | Buffer): number {
  return hash('sha1', data, 'buffer').readUIntBE(0, 6);
}

/**
 * One number for a row's content, equal exactly for equal values: `angle` as the table's float4
 * has it, attributes in any order of their keys.
 */
export function contentFingerprint(content: RowContent): number {
  const { attributes } = content;
  const fixed = [
    content.latitude,
    content.longitude,
    content.altitude,
    content.angle === null ? null : Math.fround(content.angle),
    content.speed,
    content.satellites,
    content.priority,
    content.fix,
    content.eventIoId,
    content.generationType,
  ];
  let text = JSON.stringify(fixed);
  for (const key of Object.keys(attributes).sort()) {
    const value = attributes[key];
    text += `|${key}:${typeof value === 'number' ? value : JSON.stringify(value)}`;
  }
  return fingerprintOf(text);
}

/** One number for an entry's fields, byte for byte and in their order. */
export function entryFingerprint(fields: readonly (string | Buffer)[]): number {
  const parts: Buffer[] = [];
  for (const field of fields) {
    const bytes = typeof field === 'string' ? Buffer.from(field) : field;
    const length = Buffer.allocUnsafe(lengthBytes);
    length.writeUInt32BE(bytes.length);
    parts.push(length, bytes);
  }
  return Math.floor(fingerprintOf(Buffer.concat(parts)) / entryBitsDivisor);
}

/** Where a dead letter comes from: an entry's fingerprint and a record in it, or its whole. */
export function sourceOf(entry: number, recordIndex: number | null): number {
  return entry * indexes + (recordIndex === null ? 0 : recordIndex + 1);
}
