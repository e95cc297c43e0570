import { setTimeout } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Entry, EntryId, Interpretation } from '../../core/types.ts';
import { compareStored } from '../../db/stored-rows.ts';
import { makeEntry } from '../../stream/make-entry.ts';
import { addEntry, unsettledIn } from '../../stream/replay.ts';
import {
  readDeadLetters,
  removeDeadLetters,
  type StoredDeadLetter,
} from '../../stream/stored-dead-letters.ts';
import type { Stores } from '../stores.ts';
import { applyFixes, type Fix } from './fix.ts';
import { replayProblem } from './replayable.ts';

/** What became of the letters of one entry. */
export type Replayed =
  | { readonly kind: 'stored' }
  /** It was dead-lettered again; the old letter stays, the new one was removed. */
  | { readonly kind: 'rejected_again'; readonly reason: string }
  /** Nothing is known of it in time: the letter stays, and may be replayed again. */
  | { readonly kind: 'unconfirmed' }
  | { readonly kind: 'not_replayable'; readonly problem: string };

export interface ReplayOptions {
  readonly fixes: readonly Fix[];
  /** Entries added a second. */
  readonly rate: number;
  /** Longest wait for the service to settle what was added. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Decodes and validates as the service does. */
  readonly interpret: (entry: Entry) => Interpretation;
}

/** The letters of one entry: a packet with several bad records has several. */
export interface LettersOfEntry {
  readonly letters: readonly StoredDeadLetter[];
}

/** An entry that was added again, until its end is known. */
interface Added {
  readonly id: EntryId;
  readonly letters: readonly StoredDeadLetter[];
  readonly fields: readonly (readonly [name: Buffer, value: Buffer])[];
}

const pollMs = 100;

/**
 * Adds the entries of some letters to the stream again, waits until the service has settled them,
 * and removes a letter only once every record of its entry is stored with the same content. A kill
 * in between leaves the letter: replaying it again stores nothing twice, because writes are
 * idempotent. Answers in the order given. @throws DependencyError
 */
export async function replayLetters(
  stores: Stores,
  groups: readonly LettersOfEntry[],
  options: ReplayOptions,
): Promise<Replayed[]> {
  const redis = await stores.redis();
  const outcomes = new Map<LettersOfEntry, Replayed>();
  const added = new Map<LettersOfEntry, Added>();
  const beganMs = performance.now();
  for (const group of groups) {
    if (options.signal.aborted) break;
    const fields = fieldsOf(group, options.fixes);
    if ('problem' in fields) {
      outcomes.set(group, { kind: 'not_replayable', problem: fields.problem });
      continue;
    }
    await pace(beganMs, added.size, options);
    const id = await addEntry(redis, stores.config.stream.key, fields.fields);
    added.set(group, { id, letters: group.letters, fields: fields.fields });
  }
  const settled = await settle(stores, redis, [...added.values()], options);
  for (const [group, one] of added) {
    outcomes.set(group, settled.get(one.id) ?? { kind: 'unconfirmed' });
  }
  return groups.map((group) => outcomes.get(group) ?? { kind: 'unconfirmed' });
}

type Fields =
  | { readonly fields: readonly (readonly [name: Buffer, value: Buffer])[] }
  | { readonly problem: string };

function fieldsOf({ letters }: LettersOfEntry, fixes: readonly Fix[]): Fields {
  const [letter] = letters;
  if (letter === undefined) return { problem: 'no letter' };
  const problem = replayProblem(letter);
  if (problem !== null) return { problem };
  if (fixes.length === 0) return { fields: letter.fields.map(({ name, value }) => [name, value]) };
  const named = letter.fields.map(({ name, value }) => [name.toString(), value] as const);
  const fixed = applyFixes(named, fixes);
  if (fixed === null) return { problem: 'only an entry with a JSON payload can be fixed' };
  return { fields: fixed.map(([name, value]) => [Buffer.from(name), value]) };
}

async function pace(
  beganMs: number,
  count: number,
  { rate, signal }: ReplayOptions,
): Promise<void> {
  const waitMs = beganMs + (count * 1000) / rate - performance.now();
  if (waitMs > 1) await setTimeout(waitMs, undefined, { signal }).catch(() => undefined);
}

/** Waits for the added entries to leave the group's hands, then looks what became of each. */
async function settle(
  stores: Stores,
  redis: Redis,
  added: readonly Added[],
  { timeoutMs, signal, interpret }: ReplayOptions,
): Promise<Map<EntryId, Replayed>> {
  const { key, group } = stores.config.stream;
  const outcomes = new Map<EntryId, Replayed>();
  const giveUpMs = performance.now() + timeoutMs;
  let open = added;
  for (;;) {
    const ids = open.map(({ id }) => id);
    const { undelivered, pending } = await unsettledIn(redis, { key, group }, ids);
    const isWaiting = ({ id }: Added) => undelivered.has(id) || pending.has(id);
    const ended = open.filter((one) => !isWaiting(one));
    for (const [id, outcome] of await conclude(stores, redis, ended, interpret)) {
      outcomes.set(id, outcome);
    }
    open = open.filter(isWaiting);
    if (open.length === 0 || signal.aborted || performance.now() > giveUpMs) return outcomes;
    await setTimeout(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

/** What became of entries that are settled; removes the letters of which nothing is left to do. */
async function conclude(
  stores: Stores,
  redis: Redis,
  ended: readonly Added[],
  interpret: ReplayOptions['interpret'],
): Promise<Map<EntryId, Replayed>> {
  const outcomes = new Map<EntryId, Replayed>();
  const [first] = ended;
  if (first === undefined) return outcomes;
  const { deadLetterKey } = stores.config.stream;
  const newLetters = await lettersSince(redis, deadLetterKey, first.id, ended);
  const isStored = await storedOf(stores, ended, interpret);
  const done: string[] = [];
  for (const one of ended) {
    const again = newLetters.get(one.id) ?? [];
    const [letter] = again;
    if (letter !== undefined) {
      // The old letter holds the same entry: one of it is enough.
      done.push(...again.map(({ id }) => id));
      outcomes.set(one.id, { kind: 'rejected_again', reason: letter.rejections[0].reason });
    } else if (isStored.has(one.id)) {
      done.push(...one.letters.map(({ id }) => id));
      outcomes.set(one.id, { kind: 'stored' });
    } else {
      outcomes.set(one.id, { kind: 'unconfirmed' });
    }
  }
  await removeDeadLetters(redis, deadLetterKey, done);
  return outcomes;
}

/** The letters that were written of these entries since the first of them was added. */
async function lettersSince(
  redis: Redis,
  key: string,
  firstId: EntryId,
  ended: readonly Added[],
): Promise<Map<EntryId, StoredDeadLetter[]>> {
  const found = new Map<EntryId, StoredDeadLetter[]>(ended.map(({ id }) => [id, []]));
  // Both streams' ids are the same Redis' clock.
  const from = firstId.split('-', 1)[0] ?? '-';
  const range = { from, to: '+', order: 'oldest_first' } as const;
  for await (const letter of readDeadLetters(redis, key, range)) {
    if (letter.kind === 'dead_letter') found.get(letter.entryId as EntryId)?.push(letter);
  }
  return found;
}

/** The entries of which every record is stored as it says; messages and empty packets have none. */
async function storedOf(
  stores: Stores,
  ended: readonly Added[],
  interpret: ReplayOptions['interpret'],
): Promise<ReadonlySet<EntryId>> {
  const stored = new Set<EntryId>();
  for (const { id, fields } of ended) {
    const found = interpret(makeEntry(id, fields.flat()));
    if (found.kind === 'message') stored.add(id);
    if (found.kind !== 'records' || found.rejections.length > 0) continue;
    const { chunkIntervalMs } = stores.config.database;
    const rows = await compareStored(stores.database(), found.positions, chunkIntervalMs);
    if (rows.every((row) => row === 'same')) stored.add(id);
  }
  return stored;
}
