import type { Entry, IdFault, Interpretation, Position } from '../../core/types.ts';
import { compareStored } from '../../db/stored-rows.ts';
import {
  idFaultsOf,
  type Page,
  readRange,
  type TrimmedPart,
  trimmedPart,
} from '../../stream/range.ts';
import { createInterpret } from '../../teltonika/interpret.ts';
import type { StreamStore } from '../shards.ts';
import type { Stores } from '../stores.ts';
import { createVerifyAccount, type VerifyResult } from './account.ts';
import { createDeadLetterIndex } from './dead-letter-index.ts';

export interface VerifyRange {
  /** Epoch milliseconds of the entries' own ids. */
  readonly from: number;
  readonly to?: number;
  readonly device?: string;
  /** Findings that are listed; all are counted. */
  readonly limit: number;
}

/** What was found in one stream. */
export interface StreamVerified {
  readonly result: VerifyResult;
  /** The part of the range that was trimmed before it could be examined. */
  readonly unexamined: TrimmedPart | null;
}

/** Why a stream cannot be verified: the range is a range of ids, and these are no times. */
export interface Unverifiable {
  readonly faults: readonly IdFault[];
}

/**
 * Checks every record of a range of one stream, until the signal ends it. The dead-letter index is of
 * this stream, because ids of entries are unique only within it. @throws DependencyError
 */
export async function verifyStream(
  stores: Stores,
  { stream, redis: connected }: StreamStore,
  { from: fromMs, to, device, limit }: VerifyRange,
  signal: AbortSignal,
): Promise<StreamVerified | Unverifiable> {
  const redis = await connected();
  const faults = await idFaultsOf(redis, stream.key, Date.now());
  if (faults.length > 0) return { faults };
  const trimmed = await trimmedPart(redis, stream.key);
  const isTrimmed = trimmed !== null && Number.parseInt(trimmed.before, 10) > fromMs;
  const from = String(fromMs);
  const deadLetters = createDeadLetterIndex(redis, stream.deadLetterKey, from);
  const account = createVerifyAccount(limit);
  const verifyPage = createPageVerifier(stores, account, deadLetters, device);
  const range = { from, to: to === undefined ? '+' : String(to) };
  for await (const page of readRange(redis, stream, range)) {
    // The dead letters of entries that were settled when the page was read exist by now.
    await deadLetters.catchUp();
    await verifyPage(page);
    if (signal.aborted) break;
  }
  return { result: account.result(), unexamined: isTrimmed ? trimmed : null };
}

type Account = ReturnType<typeof createVerifyAccount>;
type DeadLetters = ReturnType<typeof createDeadLetterIndex>;

/** A record that has to be in the table. */
interface Expected {
  readonly entry: Entry;
  readonly row: Position;
}

function createPageVerifier(
  { config, database }: Stores,
  account: Account,
  deadLetters: DeadLetters,
  device: string | undefined,
): (page: Page) => Promise<void> {
  const interpret = createInterpret(config.validation, Date.now);
  const { chunkIntervalMs, retentionMs } = config.database;

  /** @returns the records that should be in the table */
  function take(entry: Entry, { undelivered, pending }: Page): Expected[] {
    const found = interpret(entry);
    account.entry();
    const fate = undelivered.has(entry.id)
      ? 'undelivered'
      : pending.has(entry.id)
        ? 'pending'
        : null;
    if (fate !== null) {
      for (let record = 0; record < recordsOf(found); record += 1) account.settle(fate);
      return [];
    }
    if (found.kind === 'message') {
      account.settle('message');
      return [];
    }
    const rejections = found.kind === 'rejected' ? [found.rejection] : found.rejections;
    for (const { recordIndex } of rejections) {
      const isThere = deadLetters.hasContent(entry, recordIndex);
      const finding = { entryId: entry.id, recordIndex, device: null, ts: null };
      account.settle(isThere ? 'dead_letter' : 'letter_gone', finding);
    }
    return found.kind === 'rejected' ? [] : found.positions.map((row) => ({ entry, row }));
  }

  function settle({ entry, row }: Expected, stored: 'same' | 'other' | 'absent'): void {
    if (stored === 'same') {
      account.settle('stored');
      return;
    }
    const { recordIndex, deviceId, ts } = row;
    const finding = { entryId: entry.id, recordIndex, device: deviceId, ts };
    const hasDeadLetter = deadLetters.hasContent(entry, recordIndex);
    if (stored === 'other') account.settle(hasDeadLetter ? 'conflict' : 'letter_gone', finding);
    else if (hasDeadLetter) account.settle('dead_letter');
    else if (retentionMs !== null && ts < Date.now() - retentionMs) account.settle('expired');
    else account.settle('missing', finding);
  }

  return async (page) => {
    const entries = page.entries.filter(
      (entry) => device === undefined || deviceTextOf(entry) === device,
    );
    const expected = entries.flatMap((entry) => take(entry, page));
    const rows = expected.map(({ row }) => row);
    const stored = await compareStored(database(), rows, chunkIntervalMs);
    expected.forEach((one, at) => {
      settle(one, stored[at] ?? 'absent');
    });
  };
}

function recordsOf(found: Interpretation): number {
  return found.kind === 'records' ? found.positions.length + found.rejections.length : 1;
}

const deviceIdName = Buffer.from('device_id');

function deviceTextOf({ fields }: Entry): string | null {
  for (let at = 0; at < fields.count; at += 1) {
    if (fields.isNamed(at, deviceIdName)) return fields.text(at);
  }
  return null;
}
