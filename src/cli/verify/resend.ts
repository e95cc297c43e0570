import { setTimeout } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Entry, EntryId, Position } from '../../core/types.ts';
import { compareStored } from '../../db/stored-rows.ts';
import { makeEntry } from '../../stream/make-entry.ts';
import { callRedis } from '../../stream/redis.ts';
import { removeEntries } from '../../stream/remove-entries.ts';
import { addEntry, unsettledIn } from '../../stream/replay.ts';
import { parseRange } from '../../stream/replies.ts';
import { createInterpret } from '../../teltonika/interpret.ts';
import type { StreamStore } from '../shards.ts';
import type { Stores } from '../stores.ts';
import { createDeadLetterIndex, type DeadLetterIndex } from './dead-letter-index.ts';

export interface ResendOptions {
  /** Waits before each entry that is added; shared by the shards. */
  readonly pace: () => Promise<void>;
  /** Longest wait for the service to settle what was added. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Entries by what became of them; counted while they are resent. */
export interface Resent {
  /** Every record that was missing is stored. */
  stored: number;
  /** A record that was missing has a dead letter now. */
  dead_lettered: number;
  /** Added and not settled in time: it stays in the stream. */
  unconfirmed: number;
  /** Not added: nothing of it was missing any more, it was under way, or it was trimmed. */
  skipped: number;
}

export const nothingResent: Readonly<Resent> = {
  stored: 0,
  dead_lettered: 0,
  unconfirmed: 0,
  skipped: 0,
};

/** An entry of which records are missing. */
interface Wanted {
  readonly entry: Entry;
  /** Its records that have neither a row nor a dead letter. */
  readonly missing: readonly Position[];
}

/** The same, added to the stream again under another id. */
interface Added extends Wanted {
  readonly id: EntryId;
}

/** What finding and settling need of one stream. */
interface Session extends ResendOptions {
  readonly stores: Stores;
  readonly redis: Redis;
  readonly stream: StreamStore['stream'];
  readonly deadLetters: DeadLetterIndex;
}

/** Entries in memory at a time; one may have MAX_ENTRY_BYTES. */
const chunkEntries = 200;
const pollMs = 100;

/**
 * Adds entries of a stream to it again, field by field, if records of them are still missing, and
 * waits until the service has settled them. Records that are stored end as duplicates; a dead letter
 * that repeats an existing one is removed. Ends early when the service settles nothing in time.
 * @param resent counts, also if it ends with an error
 * @throws DependencyError
 */
export async function resendEntries(
  stores: Stores,
  { stream, redis: connected }: StreamStore,
  ids: readonly EntryId[],
  options: ResendOptions,
  resent: Resent,
): Promise<void> {
  const redis = await connected();
  // A dead letter is newer than its entry.
  const from = ids[0]?.split('-', 1)[0] ?? '-';
  const deadLetters = createDeadLetterIndex(redis, stream.deadLetterKey, from);
  const session = { ...options, stores, redis, stream, deadLetters };
  for (let at = 0; at < ids.length && !options.signal.aborted; at += chunkEntries) {
    const chunk = ids.slice(at, at + chunkEntries);
    const wanted = await wantedOf(session, chunk);
    resent.skipped += chunk.length - wanted.length;
    const added = await addAll(session, wanted);
    const unconfirmed = await settle(session, added, resent);
    resent.unconfirmed += unconfirmed;
    if (unconfirmed > 0) return;
  }
}

/** The entries of these ids of which a record is missing now. */
async function wantedOf(session: Session, ids: readonly EntryId[]): Promise<Wanted[]> {
  const { stores, redis, stream, deadLetters } = session;
  const { undelivered, pending } = await unsettledIn(redis, stream, ids);
  const settled = ids.filter((id) => !undelivered.has(id) && !pending.has(id));
  const entries = await readEntries(redis, stream.key, settled);
  await deadLetters.catchUp();
  const interpret = createInterpret(stores.config.validation, Date.now);
  const rows = entries.map((entry) => {
    const found = interpret(entry);
    return found.kind === 'records' ? found.positions : [];
  });
  const isStored = await storedOf(session, rows.flat());
  const { retentionMs } = stores.config.database;
  const oldest = retentionMs === null ? Number.NEGATIVE_INFINITY : Date.now() - retentionMs;
  return entries.flatMap((entry, at) => {
    const missing = (rows[at] ?? []).filter(
      (row) =>
        isStored(row) === 'absent' &&
        row.ts >= oldest &&
        !deadLetters.hasContent(entry, row.recordIndex),
    );
    return missing.length === 0 ? [] : [{ entry, missing }];
  });
}

async function readEntries(redis: Redis, key: string, ids: readonly EntryId[]): Promise<Entry[]> {
  return await callRedis(async () => {
    const replies = await Promise.all(ids.map((id) => redis.xrangeBuffer(key, id, id)));
    return replies.flatMap(parseRange).map(({ id, fields }) => makeEntry(id, fields));
  });
}

/** @returns what the table has under a row's key */
async function storedOf({ stores }: Session, rows: readonly Position[]) {
  const { chunkIntervalMs } = stores.config.database;
  const stored = await compareStored(stores.database(), rows, chunkIntervalMs);
  const byRow = new Map(rows.map((row, at) => [row, stored[at]]));
  return (row: Position) => byRow.get(row) ?? 'absent';
}

async function addAll(session: Session, wanted: readonly Wanted[]): Promise<Added[]> {
  const added: Added[] = [];
  for (const one of wanted) {
    await session.pace();
    if (session.signal.aborted) break;
    const { fields } = one.entry;
    const parts = Array.from(
      { length: fields.count },
      (_, at) => [fields.name(at), fields.value(at)] as const,
    );
    added.push({ ...one, id: await addEntry(session.redis, session.stream.key, parts) });
  }
  return added;
}

/** Waits for the service, and counts what became of each entry. @returns those not confirmed */
async function settle(session: Session, added: readonly Added[], resent: Resent): Promise<number> {
  const { redis, stream, timeoutMs, signal } = session;
  const giveUpMs = performance.now() + timeoutMs;
  let open = added;
  for (;;) {
    const ids = open.map(({ id }) => id);
    const { undelivered, pending } = await unsettledIn(redis, stream, ids);
    const isOpen = ({ id }: Added) => undelivered.has(id) || pending.has(id);
    const ended = open.filter((one) => !isOpen(one));
    open = open.filter(isOpen);
    const unconfirmed = await conclude(session, ended, resent);
    if (open.length === 0) return unconfirmed;
    if (unconfirmed > 0 || signal.aborted || performance.now() > giveUpMs) {
      return unconfirmed + open.length;
    }
    await setTimeout(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Counts settled entries and removes repeated dead letters. @returns those of unknown outcome */
async function conclude(
  session: Session,
  ended: readonly Added[],
  resent: Resent,
): Promise<number> {
  if (ended.length === 0) return 0;
  const { redis, stream, deadLetters } = session;
  await deadLetters.catchUp();
  const isStored = await storedOf(
    session,
    ended.flatMap(({ missing }) => missing),
  );
  const repeated: string[] = [];
  let unknown = 0;
  for (const { id, missing } of ended) {
    const absent = missing.filter((row) => isStored(row) !== 'same');
    const isRejected = ({ recordIndex }: Position) =>
      deadLetters.has(id, recordIndex) || deadLetters.has(id, null);
    if (absent.length === 0) resent.stored += 1;
    else if (absent.every(isRejected)) resent.dead_lettered += 1;
    else unknown += 1;
    repeated.push(...deadLetters.idsWithout(id, new Set(missing.map((row) => row.recordIndex))));
  }
  await removeEntries(redis, stream.deadLetterKey, repeated);
  return unknown;
}
