import type { Redis } from 'ioredis';
import { asRedisError } from './redis.ts';
import { unexpectedReply } from './replies.ts';

/** A field of the original entry as its letter keeps it. */
export interface LetterField {
  readonly name: Buffer;
  readonly value: Buffer;
  /** The whole value's length, when only its first bytes were kept; else null. */
  readonly cutFromBytes: number | null;
}

/** A dead letter, as `composeLetter` wrote it; ids and times as texts. */
export interface Letter {
  readonly kind: 'letter';
  /** The letter's own id in the dead-letter stream. */
  readonly id: string;
  readonly entryId: string;
  readonly stage: string;
  readonly reason: string;
  readonly message: string;
  readonly recordIndex: number | null;
  readonly deliveries: number;
  readonly instance: string;
  readonly at: string;
  readonly fields: readonly LetterField[];
  /** Whether fields were left out because the entry had too many. */
  readonly isPartial: boolean;
}

/** Something in the dead-letter stream that this service did not write. */
export interface Malformed {
  readonly kind: 'malformed';
  readonly id: string;
}

export interface LetterRange {
  /** Stream ids, `-` and `+` for the ends. */
  readonly from: string;
  readonly to: string;
  readonly order: 'oldest_first' | 'newest_first';
}

/** A letter keeps up to 64 fields of DEAD_LETTER_MAX_BYTES each, so a page is short. */
const pageEntries = 100;
/** Ids in one XDEL. */
const removeChunk = 500;

/** The letters of a range, a page at a time. @throws DependencyError */
export async function* readLetters(
  redis: Redis,
  key: string,
  { from, to, order }: LetterRange,
): AsyncGenerator<Letter | Malformed> {
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
  { from, to, order }: LetterRange,
): Promise<(Letter | Malformed)[]> {
  try {
    const reply: unknown =
      order === 'oldest_first'
        ? await redis.xrangeBuffer(key, from, to, 'COUNT', pageEntries)
        : await redis.xrevrangeBuffer(key, to, from, 'COUNT', pageEntries);
    if (!Array.isArray(reply)) throw unexpectedReply('XRANGE');
    return reply.map(parseLetter);
  } catch (error) {
    throw asRedisError(error);
  }
}

/** Deletes letters by their own ids. @returns how many were there @throws DependencyError */
export async function removeLetters(
  redis: Redis,
  key: string,
  ids: readonly string[],
): Promise<number> {
  let removed = 0;
  try {
    for (let from = 0; from < ids.length; from += removeChunk) {
      removed += await redis.xdel(key, ...ids.slice(from, from + removeChunk));
    }
  } catch (error) {
    throw asRedisError(error);
  }
  return removed;
}

/** One entry of the dead-letter stream as Redis answers it: `[id, [name, value, …]]`. */
export function parseLetter(item: unknown): Letter | Malformed {
  const [id, parts]: unknown[] = Array.isArray(item) ? item : [];
  if (!Buffer.isBuffer(id) || !Array.isArray(parts)) throw unexpectedReply('XRANGE');
  const facts = new Map<string, string>();
  const cuts = new Map<string, number>();
  const found: [name: Buffer, value: Buffer][] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const name: unknown = parts[at];
    const value: unknown = parts[at + 1];
    if (!Buffer.isBuffer(name) || !Buffer.isBuffer(value)) throw unexpectedReply('XRANGE');
    const text = name.toString('latin1');
    if (text.startsWith('f:')) found.push([name.subarray(2), value]);
    else if (text.startsWith('cut:')) cuts.set(text.slice(4), Number(value.toString('latin1')));
    else facts.set(text, value.toString());
  }
  return letterOf(id.toString('latin1'), facts, cuts, found);
}

function letterOf(
  id: string,
  facts: ReadonlyMap<string, string>,
  cuts: ReadonlyMap<string, number>,
  found: readonly [name: Buffer, value: Buffer][],
): Letter | Malformed {
  const entryId = facts.get('entry_id');
  const reason = facts.get('reason');
  const stage = facts.get('stage');
  if (entryId === undefined || reason === undefined || stage === undefined) {
    return { kind: 'malformed', id };
  }
  const index = facts.get('record_index') ?? '';
  return {
    kind: 'letter',
    id,
    entryId,
    stage,
    reason,
    message: facts.get('message') ?? '',
    recordIndex: /^\d+$/.test(index) ? Number(index) : null,
    deliveries: Number(facts.get('deliveries') ?? 0),
    instance: facts.get('instance') ?? '',
    at: facts.get('at') ?? '',
    fields: found.map(([name, value]) => {
      return { name, value, cutFromBytes: cuts.get(name.toString('latin1')) ?? null };
    }),
    isPartial: facts.has('fields_left_out'),
  };
}

/** A field's value by its name, or null. */
export function letterField(letter: Letter, name: string): Buffer | null {
  return letter.fields.find((field) => field.name.toString('latin1') === name)?.value ?? null;
}
