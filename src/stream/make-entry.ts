import { type Entry, type EntryId, type EntrySource, packFields } from '../core/types.ts';

/** Makes an entry from its names and values in turn; by default as a first delivery. */
export function makeEntry(
  id: EntryId,
  parts: readonly Buffer[],
  source: EntrySource = 'new',
  deliveries = 1,
): Entry {
  const fields = packFields(parts);
  return { id, source, deliveries, fields, bytes: fields.bytes };
}
