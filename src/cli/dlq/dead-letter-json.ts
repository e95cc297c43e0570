import { isUtf8 } from 'node:buffer';
import { type RejectionGroup, rangesText } from '../../stream/rejections.ts';
import type { StoredDeadLetter } from '../../stream/stored-dead-letters.ts';
import { jsonLine } from '../printable.ts';
import { shardJson } from '../shard-text.ts';
import { type Found, shown } from './matching.ts';

/** Bytes as `text` if they are UTF-8, else as `base64`. */
export type JsonBytes = { readonly text: string } | { readonly base64: string };

export function jsonBytes(bytes: Buffer): JsonBytes {
  return isUtf8(bytes) ? { text: bytes.toString() } : { base64: bytes.toString('base64') };
}

/** The rejections of a dead letter, with the record indexes as `0-4,7`; null: the whole entry. */
export function rejectionsJson(rejections: readonly RejectionGroup[]): object[] {
  return rejections.map(({ records, ...group }) => {
    return { ...group, records: records === null ? null : rangesText(records) };
  });
}

/** Everything that a dead letter keeps, its fields byte for byte. */
export function deadLetterJson(deadLetter: StoredDeadLetter): object {
  const { id, version, entryId, at, records, deliveries, instance } = deadLetter;
  return {
    id,
    version,
    entry_id: entryId,
    at,
    deliveries,
    instance,
    records,
    rejections: rejectionsJson(deadLetter.rejections),
    is_partial: deadLetter.isPartial,
    fields_sha256: deadLetter.fieldsSha256,
    fields: deadLetter.fields.map(({ name, value, cutFromBytes }) => {
      return { name: jsonBytes(name), value: jsonBytes(value), cut_from_bytes: cutFromBytes };
    }),
  };
}

/** A dead letter as one line of an export, with its shard first where there are shards. */
export function exportLine(found: Found): string {
  const deadLetter = shown(found);
  const json = deadLetter.kind === 'malformed' ? deadLetter : deadLetterJson(deadLetter);
  return `${jsonLine(shardJson(found.store, json))}\n`;
}
