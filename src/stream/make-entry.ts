import { type Entry, type EntryId, packFields } from '../core/types.ts';

type Delivery = Pick<Entry, 'source' | 'deliveries' | 'history'>;

const firstDelivery: Delivery = { source: 'new', deliveries: 1, history: null };

/** Makes an entry from its names and values in turn; by default as a first delivery. */
export function makeEntry(
  id: EntryId,
  parts: readonly Buffer[],
  { source, deliveries, history }: Delivery = firstDelivery,
): Entry {
  const fields = packFields(parts);
  return { id, source, deliveries, fields, bytes: fields.bytes, history };
}
