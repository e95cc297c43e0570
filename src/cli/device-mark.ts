import { createHmac } from 'node:crypto';
import type { Config } from '../config/load.ts';

/** Hex digits kept: 64 bits tell the devices of any fleet apart. */
const digits = 16;

/**
 * What the audit holds in place of an IMEI: an HMAC with AUDIT_KEY. Who has the key can tell
 * whether a line is of a device; without the key no line tells of which device it is.
 */
export function deviceMark({ audit }: Pick<Config, 'audit'>, device: string): string {
  if (audit.key === null) return 'a device (AUDIT_KEY is not set)';
  const mark = createHmac('sha256', audit.key).update(device).digest('hex');
  return `hmac:${mark.slice(0, digits)}`;
}
