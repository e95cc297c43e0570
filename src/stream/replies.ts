import { DependencyError, type EntryId } from '../core/types.ts';

export interface RawEntry {
  readonly id: EntryId;
  /** Null if the entry was deleted from the stream while it was pending. */
  readonly fields: readonly Buffer[] | null;
}

/** Parses XREADGROUP of one stream: [[key, [[id, [name, value, …] | nil], …]]] or nil, as Buffers. */
export function parseRead(reply: unknown): RawEntry[] {
  if (reply === null) return [];
  const stream: unknown = Array.isArray(reply) ? reply[0] : undefined;
  return parseEntries(Array.isArray(stream) ? stream[1] : undefined, 'XREADGROUP');
}

/** Parses the claim script's [next start, [[id, fields], …], [deliveries, …], [lost id, …]]. */
export function parseClaim(reply: unknown): {
  next: string | null;
  entries: RawEntry[];
  deliveries: number[];
  lost: EntryId[];
} {
  if (!Array.isArray(reply)) throw unexpectedReply('EVAL');
  const [next, entries, deliveries, lost]: unknown[] = reply;
  if (!Buffer.isBuffer(next) || !Array.isArray(deliveries) || !isBuffers(lost)) {
    throw unexpectedReply('EVAL');
  }
  return {
    next: next.length === 0 ? null : next.toString('latin1'),
    entries: parseEntries(entries, 'EVAL'),
    deliveries: deliveries.map(Number),
    lost: lost.map(toEntryId),
  };
}

/** Parses XRANGE: [[id, [name, value, …]], …], as Buffers. */
export function parseRange(reply: unknown): { id: EntryId; fields: readonly Buffer[] }[] {
  return parseEntries(reply, 'XRANGE').map(({ id, fields }) => ({ id, fields: fields ?? [] }));
}

function parseEntries(entries: unknown, command: string): RawEntry[] {
  if (!Array.isArray(entries)) throw unexpectedReply(command);
  return entries.map((item: unknown) => {
    if (!Array.isArray(item) || !Buffer.isBuffer(item[0])) throw unexpectedReply(command);
    return { id: toEntryId(item[0]), fields: isBuffers(item[1]) ? item[1] : null };
  });
}

/** The error for a reply of unknown shape, whose entries would otherwise stay pending unnoticed. */
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
