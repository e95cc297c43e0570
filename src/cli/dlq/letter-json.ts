import { isUtf8 } from 'node:buffer';
import type { Letter, Malformed } from '../../stream/letters.ts';

/** Bytes as text where they are UTF-8, else as base64, told apart by the key. */
export type JsonBytes = { readonly text: string } | { readonly base64: string };

export function jsonBytes(bytes: Buffer): JsonBytes {
  return isUtf8(bytes) ? { text: bytes.toString() } : { base64: bytes.toString('base64') };
}

/** All that a letter keeps, its fields byte for byte. */
export function letterJson(letter: Letter): object {
  const { id, entryId, at, stage, reason, message, recordIndex, deliveries, instance } = letter;
  return {
    ...{ id, entry_id: entryId, at, stage, reason, message, record_index: recordIndex },
    ...{ deliveries, instance, is_partial: letter.isPartial },
    fields: letter.fields.map(({ name, value, cutFromBytes }) => {
      return { name: jsonBytes(name), value: jsonBytes(value), cut_from_bytes: cutFromBytes };
    }),
  };
}

/** A letter as one line of an export. */
export function exportLine(letter: Letter | Malformed): string {
  const json = letter.kind === 'malformed' ? letter : letterJson(letter);
  return `${JSON.stringify(json)}\n`;
}
