import { hash } from 'node:crypto';
import type { Crossing } from './types.ts';

/**
 * The key of a timing record: a UUID of version 8 over its content. Every instance gives the same
 * content the same key, so writing it twice changes nothing.
 */
export function crossingId(crossing: Crossing): string {
  const { device, geofence, subject, direction, at, beforeTs, afterTs, method } = crossing;
  const place = [crossing.latitude, crossing.longitude];
  const content = [device, geofence, subject, direction, at, beforeTs, afterTs, method, ...place];
  const bytes = hash('sha256', JSON.stringify(content), 'buffer').subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  const groups = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return [...groups, hex.slice(20)].join('-');
}
