import type { Config } from '../config/load.ts';
import type { Entry, Interpretation } from '../core/types.ts';
import { readEntry } from '../stream/entry.ts';
import { isDeviceId } from '../teltonika/imei.ts';
import { interpretContent } from '../teltonika/interpret.ts';
import { parseIsoMs } from '../teltonika/iso-time.ts';

/** Reads, decodes and validates an entry as the service does, and counts nothing. */
export function createLookingInterpret({
  validation,
}: Pick<Config, 'validation'>): (entry: Entry) => Interpretation {
  const limits = { maxBytes: validation.maxEntryBytes, parseTime: parseIsoMs, isDeviceId };
  return (entry) => {
    const reading = readEntry(entry, limits);
    if (reading.kind === 'rejected') return reading;
    return interpretContent(reading.content, { ...validation, nowMs: Date.now() });
  };
}
