import { createHmac } from 'node:crypto';
import type { Config } from '../config/load.ts';

/** Hex digits kept: 64 bits distinguish the devices of any fleet. */
const digits = 16;

/**
 * The mark of a device in the audit: an HMAC of the IMEI with AUDIT_KEY. An operator with the key
 * can check whether a line is about a device; without the key the mark reveals no device.
 */
export function deviceMark({ audit }: Pick<Config, 'audit'>, device: string): string {
  if (audit.key === null) return 'a device (AUDIT_KEY is not set)';
  const mark = createHmac('sha256', audit.key).update(device).digest('hex');
  return `hmac:${mark.slice(0, digits)}`;
}
