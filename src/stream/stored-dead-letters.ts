import type { Redis } from 'ioredis';
import { callRedis } from './redis.ts';
import { parseRejections, type RejectionGroup } from './rejections.ts';
import { unexpectedReply } from './replies.ts';

/** A field of the original entry, as stored in its dead letter. */
export interface KeptField {
  readonly name: Buffer;
  readonly value: Buffer;
  /** Length of the whole value if it was cut; else null. */
  readonly cutFromBytes: number | null;
}

/** A dead letter in the shape that `composeDeadLetter` writes, or in shape 1; ids and times as text. */
export interface StoredDeadLetter {
  readonly kind: 'dead_letter';
  /** Its own id in the dead-letter stream. */
  readonly id: string;
  readonly version: number;
  readonly entryId: string;
  /** At least one. */
  readonly rejections: readonly [RejectionGroup, ...RejectionGroup[]];
  /** Rejected records; an entry that is rejected whole counts 1. */
  readonly records: number;
  readonly deliveries: number;
  readonly instance: string;
  readonly at: string;
  readonly fields: readonly KeptField[];
  /** Digest of all names and values of the entry; null in shape 1. */
  readonly fieldsSha256: string | null;
  /** Whether fields were omitted or names cut because of the limits. */
  readonly isPartial: boolean;
}

/** An entry in the dead-letter stream that this service did not write. */
export interface Malformed {
  readonly kind: 'malformed';
  readonly id: string;
}

export interface DeadLetterRange {
  /** Stream ids, `-` and `+` for the ends. */
  readonly from: string;
  readonly to: string;
  readonly order: 'oldest_first' | 'newest_first';
}

/** A page is short, because one dead letter may have four times DEAD_LETTER_MAX_BYTES. */
const pageEntries = 50;

/** Reads the dead letters of a range, one page at a time. @throws DependencyError */
export async function* readDeadLetters(
  redis: Redis,
  key: string,
  { from, to, order }: DeadLetterRange,
): AsyncGenerator<StoredDeadLetter | Malformed> {
  let first = from;
  let last = to;
  for (;;) {
    const page = await readPage(redis, key, { from: first, to: last, order });
    yield* page;
    const end = page.at(-1);
    if (end === undefined || page.length < pageEntries) return;
    if (order === 'oldest_first') first = `(${end.id}`;
    else last = `(${end.id}`;
  }
}

async function readPage(
  redis: Redis,
  key: string,
  { from, to, order }: DeadLetterRange,
): Promise<(StoredDeadLetter | Malformed)[]> {
  return await callRedis(async () => {
    const reply: unknown =
      order === 'oldest_first'
        ? await redis.xrangeBuffer(key, from, to, 'COUNT', pageEntries)
        : await redis.xrevrangeBuffer(key, to, from, 'COUNT', pageEntries);
    if (!Array.isArray(reply)) throw unexpectedReply('XRANGE');
    return reply.map(parseDeadLetter);
  });
}

/** Parses one entry of the dead-letter stream: `[id, [name, value, …]]`. */
function parseDeadLetter(item: unknown): StoredDeadLetter | Malformed {
  const [id, parts]: unknown[] = Array.isArray(item) ? item : [];
  if (!Buffer.isBuffer(id) || !Array.isArray(parts)) throw unexpectedReply('XRANGE');
  const facts = new Map<string, string>();
  const cuts = new Map<string, number>();
  const found: [name: Buffer, value: Buffer][] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const name: unknown = parts[i];
    const value: unknown = parts[i + 1];
    if (!Buffer.isBuffer(name) || !Buffer.isBuffer(value)) throw unexpectedReply('XRANGE');
    const text = name.toString('latin1');
    if (text.startsWith('f:')) found.push([name.subarray(2), value]);
    else if (text.startsWith('cut:')) cuts.set(text.slice(4), Number(value.toString('latin1')));
    else facts.set(text, value.toString());
  }
  const fields = found.map(([name, value]) => {
    return { name, value, cutFromBytes: cuts.get(name.toString('latin1')) ?? null };
  });
  return deadLetterOf(id.toString('latin1'), facts, fields);
}

function deadLetterOf(
  id: string,
  facts: ReadonlyMap<string, string>,
  fields: readonly KeptField[],
): StoredDeadLetter | Malformed {
  const entryId = facts.get('entry_id');
  const list = facts.get('rejections');
  const [first, ...others] =
    (list === undefined ? onlyRejection(facts) : parseRejections(list)) ?? [];
  if (entryId === undefined || first === undefined) return { kind: 'malformed', id };
  return {
    kind: 'dead_letter',
    id,
    version: Number(facts.get('version') ?? 1),
    entryId,
    rejections: [first, ...others],
    records: others.reduce((sum, { count }) => sum + count, first.count),
    deliveries: Number(facts.get('deliveries') ?? 0),
    instance: facts.get('instance') ?? '',
    at: facts.get('at') ?? '',
    fields,
    fieldsSha256: facts.get('fields_sha256') ?? null,
    isPartial: facts.has('fields_left_out') || facts.has('names_cut'),
  };
}

/** The rejection in a dead letter of shape 1: one record, or the whole entry. */
function onlyRejection(facts: ReadonlyMap<string, string>): RejectionGroup[] | null {
  const [stage, reason] = [facts.get('stage'), facts.get('reason')];
  if (stage === undefined || reason === undefined) return null;
  const [index, offset] = [wholeOf(facts.get('record_index')), wholeOf(facts.get('offset'))];
  const records = index === null ? null : [[index, index] as const];
  return [{ stage, reason, message: facts.get('message') ?? '', records, count: 1, offset }];
}

function wholeOf(text: string | undefined): number | null {
  return /^\d{1,9}$/.test(text ?? '') ? Number(text) : null;
}

/** The value of a stored field by its name, or null. */
export function keptField(deadLetter: StoredDeadLetter, name: string): Buffer | null {
  return deadLetter.fields.find((field) => field.name.toString('latin1') === name)?.value ?? null;
}
