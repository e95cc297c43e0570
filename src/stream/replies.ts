import { DependencyError, type EntryId } from '../core/types.ts';

export interface RawEntry {
  readonly id: EntryId;
  /** null when the entry was deleted from the stream while it was pending. */
  readonly fields: readonly Buffer[] | null;
}

/** XREADGROUP of one stream: [[key, [[id, [name, value, …] | nil], …]]] or nil, all Buffers. */
export function parseRead(reply: unknown): RawEntry[] {
  if (reply === null) return [];
  const stream: unknown = Array.isArray(reply) ? reply[0] : undefined;
  return parseEntries(Array.isArray(stream) ? stream[1] : undefined, 'XREADGROUP');
}

/** XAUTOCLAIM: [cursor, [[id, fields | nil], …], [deleted id, …]]; the third since Redis 7.0. */
export function parseClaim(reply: unknown): {
  cursor: string;
  entries: RawEntry[];
  deleted: EntryId[];
} {
  if (!Array.isArray(reply) || !Buffer.isBuffer(reply[0])) throw unexpectedReply('XAUTOCLAIM');
  const deleted: unknown = reply[2] ?? [];
  if (!isBuffers(deleted)) throw unexpectedReply('XAUTOCLAIM');
  return {
    cursor: reply[0].toString('latin1'),
    entries: parseEntries(reply[1], 'XAUTOCLAIM'),
    deleted: deleted.map(toEntryId),
  };
}

function parseEntries(entries: unknown, command: string): RawEntry[] {
  if (!Array.isArray(entries)) throw unexpectedReply(command);
  return entries.map((item: unknown) => {
    if (!Array.isArray(item) || !Buffer.isBuffer(item[0])) throw unexpectedReply(command);
    return { id: toEntryId(item[0]), fields: isBuffers(item[1]) ? item[1] : null };
  });
}

/** Entries in a shape we cannot read would stay pending for ever, unseen. */
export function unexpectedReply(command: string): DependencyError {
  const message = `${command} answered in an unknown shape: is this Redis 7.0 or later?`;
  return new DependencyError('redis', 'configuration', 'REPLY_SHAPE', message);
}

function isBuffers(value: unknown): value is Buffer[] {
  return Array.isArray(value) && value.every((item) => Buffer.isBuffer(item));
}

function toEntryId(bytes: Buffer): EntryId {
  // Redis prints its ids; this is where one enters.
  return bytes.toString('latin1') as EntryId;
}
