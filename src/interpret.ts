import type { Config } from './config/load.ts';
import type { Entry, Interpretation } from './core/types.ts';
import type { Metrics } from './observability/metrics.ts';
import { readEntry } from './stream/entry.ts';
import { isDeviceId, passesLuhn } from './teltonika/imei.ts';
import { interpretContent } from './teltonika/interpret.ts';
import { parseIsoMs } from './teltonika/iso-time.ts';

export type Interpret = (entry: Entry) => Interpretation;

/**
 * From an entry's bytes to positions: reads the form, decodes, validates. Commands that look at
 * entries as the service does count nothing: without metrics.
 */
export function createInterpret(
  { validation }: Pick<Config, 'validation'>,
  metrics: Pick<Metrics, 'luhnFailures' | 'messages'> | null,
): Interpret {
  const limits = { maxBytes: validation.maxEntryBytes, parseTime: parseIsoMs, isDeviceId };
  // One for all entries, its time set before each: a copy an entry is garbage.
  const options = { ...validation, nowMs: 0 };
  return (entry) => {
    const reading = readEntry(entry, limits);
    if (reading.kind === 'rejected') return reading;
    if (!passesLuhn(reading.content.deviceId)) metrics?.luhnFailures.inc();
    options.nowMs = Date.now();
    const found = interpretContent(reading.content, options);
    if (found.kind === 'message') metrics?.messages.inc({ codec: found.codec });
    return found;
  };
}
