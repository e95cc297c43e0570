import { setTimeout } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Entry, EntryId, Interpretation } from '../../core/types.ts';
import { compareStored } from '../../db/stored-rows.ts';
import { makeEntry } from '../../stream/make-entry.ts';
import { removeEntries } from '../../stream/remove-entries.ts';
import { addEntry, unsettledIn } from '../../stream/replay.ts';
import { readDeadLetters, type StoredDeadLetter } from '../../stream/stored-dead-letters.ts';
import type { StreamStore } from '../shards.ts';
import type { Stores } from '../stores.ts';
import { applyFixes, type Fix } from './fix.ts';
import { replayProblem } from './replayable.ts';

/** The outcome of one replayed entry. */
export type Replayed =
  | { readonly kind: 'stored' }
  /** It was dead-lettered again; the old dead letter stays, the new one was removed. */
  | { readonly kind: 'rejected_again'; readonly reason: string }
  /** The timeout ended first: the dead letter stays and can be replayed again. */
  | { readonly kind: 'unconfirmed' }
  | { readonly kind: 'not_replayable'; readonly problem: string };

export interface ReplayOptions {
  readonly fixes: readonly Fix[];
  /** Waits before each entry that is added; shared by the shards. */
  readonly pace: () => Promise<void>;
  /** Longest wait for the service to settle what was added. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Decodes and validates as the service does. */
  readonly interpret: (entry: Entry) => Interpretation;
}

/** The dead letters of one entry: a packet with several bad records has several. */
export interface DeadLettersOfEntry {
  readonly deadLetters: readonly StoredDeadLetter[];
}

/** An entry that was added again, until its end is known. */
interface Added {
  readonly id: EntryId;
  readonly deadLetters: readonly StoredDeadLetter[];
  readonly fields: readonly (readonly [name: Buffer, value: Buffer])[];
}

const pollMs = 100;

/**
 * Adds the entries of some dead letters of a stream to it again, waits until the service has settled them,
 * and removes a dead letter only once every record of its entry is stored with the same content. A kill
 * in between leaves the dead letter: replaying it again stores nothing twice, because writes are
 * idempotent. Answers in the order given. @throws DependencyError
 */
export async function replayDeadLetters(
  stores: Stores,
  { stream, redis: connected }: StreamStore,
  groups: readonly DeadLettersOfEntry[],
  options: ReplayOptions,
): Promise<Replayed[]> {
  const redis = await connected();
  const outcomes = new Map<DeadLettersOfEntry, Replayed>();
  const added = new Map<DeadLettersOfEntry, Added>();
  for (const group of groups) {
    if (options.signal.aborted) break;
    const fields = fieldsOf(group, options.fixes);
    if ('problem' in fields) {
      outcomes.set(group, { kind: 'not_replayable', problem: fields.problem });
      continue;
    }
    await options.pace();
    const id = await addEntry(redis, stream.key, fields.fields);
    added.set(group, { id, deadLetters: group.deadLetters, fields: fields.fields });
  }
  const settled = await settle(stores, { stream, redis }, [...added.values()], options);
  for (const [group, one] of added) {
    outcomes.set(group, settled.get(one.id) ?? { kind: 'unconfirmed' });
  }
  return groups.map((group) => outcomes.get(group) ?? { kind: 'unconfirmed' });
}

type Fields =
  | { readonly fields: readonly (readonly [name: Buffer, value: Buffer])[] }
  | { readonly problem: string };

function fieldsOf({ deadLetters }: DeadLettersOfEntry, fixes: readonly Fix[]): Fields {
  const [deadLetter] = deadLetters;
  if (deadLetter === undefined) return { problem: 'it has no dead letter' };
  const problem = replayProblem(deadLetter);
  if (problem !== null) return { problem };
  if (fixes.length === 0)
    return { fields: deadLetter.fields.map(({ name, value }) => [name, value]) };
  const named = deadLetter.fields.map(({ name, value }) => [name.toString(), value] as const);
  const fixed = applyFixes(named, fixes);
  if (fixed === null) return { problem: 'only an entry with a JSON payload can be fixed' };
  return { fields: fixed.map(([name, value]) => [Buffer.from(name), value]) };
}

/** The stream of the dead letters, and its connection. */
interface Place {
  readonly stream: StreamStore['stream'];
  readonly redis: Redis;
}

/** Waits until the group has settled the added entries, then reads the outcome of each. */
async function settle(
  stores: Stores,
  place: Place,
  added: readonly Added[],
  { timeoutMs, signal, interpret }: ReplayOptions,
): Promise<Map<EntryId, Replayed>> {
  const outcomes = new Map<EntryId, Replayed>();
  const giveUpMs = performance.now() + timeoutMs;
  let open = added;
  for (;;) {
    const ids = open.map(({ id }) => id);
    const { undelivered, pending } = await unsettledIn(place.redis, place.stream, ids);
    const isWaiting = ({ id }: Added) => undelivered.has(id) || pending.has(id);
    const ended = open.filter((one) => !isWaiting(one));
    for (const [id, outcome] of await conclude(stores, place, ended, interpret)) {
      outcomes.set(id, outcome);
    }
    open = open.filter(isWaiting);
    if (open.length === 0 || signal.aborted || performance.now() > giveUpMs) return outcomes;
    await setTimeout(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Reads the outcome of settled entries, and removes the dead letters that are done with. */
async function conclude(
  stores: Stores,
  { stream: { deadLetterKey }, redis }: Place,
  ended: readonly Added[],
  interpret: ReplayOptions['interpret'],
): Promise<Map<EntryId, Replayed>> {
  const outcomes = new Map<EntryId, Replayed>();
  const [first] = ended;
  if (first === undefined) return outcomes;
  const newDeadLetters = await deadLettersSince(redis, deadLetterKey, first.id, ended);
  const isStored = await storedOf(stores, ended, interpret);
  const done: string[] = [];
  for (const one of ended) {
    const again = newDeadLetters.get(one.id) ?? [];
    const [deadLetter] = again;
    if (deadLetter !== undefined) {
      // The old dead letter holds the same entry, so the new ones are removed.
      done.push(...again.map(({ id }) => id));
      outcomes.set(one.id, { kind: 'rejected_again', reason: deadLetter.rejections[0].reason });
    } else if (isStored.has(one.id)) {
      done.push(...one.deadLetters.map(({ id }) => id));
      outcomes.set(one.id, { kind: 'stored' });
    } else {
      outcomes.set(one.id, { kind: 'unconfirmed' });
    }
  }
  await removeEntries(redis, deadLetterKey, done);
  return outcomes;
}

/** Reads the dead letters written for these entries since the first of them was added. */
async function deadLettersSince(
  redis: Redis,
  key: string,
  firstId: EntryId,
  ended: readonly Added[],
): Promise<Map<EntryId, StoredDeadLetter[]>> {
  const found = new Map<EntryId, StoredDeadLetter[]>(ended.map(({ id }) => [id, []]));
  // Both streams' ids are the same Redis' clock.
  const from = firstId.split('-', 1)[0] ?? '-';
  const range = { from, to: '+', order: 'oldest_first' } as const;
  for await (const deadLetter of readDeadLetters(redis, key, range)) {
    if (deadLetter.kind === 'dead_letter')
      found.get(deadLetter.entryId as EntryId)?.push(deadLetter);
  }
  return found;
}

/** Returns the entries whose records are all stored with the same content, messages included. */
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
