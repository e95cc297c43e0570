import { readDeadLetter, type StoredDeadLetter } from './dead-letter.ts';
import { contentFingerprint, entryFingerprint, sourceOf } from './fingerprint.ts';
import { type Ledger, LedgerError, type SentKey, sentKeys } from './ledger.ts';
import type { RowContent } from './record.ts';

/** A row of `positions` of one of the ledger's devices. */
export interface StoredRow extends RowContent {
  readonly deviceId: string;
  /** Epoch milliseconds; a fraction if the table has one. */
  readonly ts: number;
  readonly codec: string;
}

/** The rows and dead letters that a run left, in pages. */
export interface LedgerSource {
  /** Every row of these devices, ascending by device and time. */
  rows(deviceIds: readonly string[]): AsyncIterable<readonly StoredRow[]>;
  /** Every dead letter since the run began. */
  deadLetters(): AsyncIterable<readonly StoredDeadLetter[]>;
}

/** The outcomes of the records sent: `sent` is the sum of the others up to `missing`. */
export interface LedgerCheck {
  sent: number;
  /** Keys whose row exists with the content of one of the sent versions. */
  inserted: number;
  duplicate: number;
  /** Records of another version than the stored one, each with its dead letter. */
  conflict: number;
  deadLetter: number;
  message: number;
  /** Records that have neither a row nor the dead letter they should have. */
  missing: number;
  /** Rows and dead letters that were not sent, or have other content. */
  unexpected: number;
  /** Dead letters that occur twice for one record of one entry: its id and its content. */
  doubled: number;
  /** The first differences, in words. */
  readonly problems: string[];
}

const maxProblems = 20;

export function isClean(check: LedgerCheck): boolean {
  return check.missing === 0 && check.unexpected === 0 && check.doubled === 0;
}

/** The check as a single line. */
export function formatCheck(check: LedgerCheck): string {
  return [
    `sent=${check.sent} inserted=${check.inserted} duplicate=${check.duplicate}`,
    `conflict=${check.conflict} dead_letter=${check.deadLetter} message=${check.message}`,
    `missing=${check.missing}`,
  ].join(' ');
}

/**
 * Compares what was sent with what is there, record by record. Which of several versions of a key
 * is stored is free; every copy of another version must then have its dead letter `conflict`.
 * Messages leave nothing behind and count as sent.
 * @throws LedgerError `rows_unordered`; and what the source throws
 */
export async function checkLedger(ledger: Ledger, source: LedgerSource): Promise<LedgerCheck> {
  const { sent, messages } = ledger.totals;
  const check: LedgerCheck = {
    sent,
    inserted: 0,
    duplicate: 0,
    conflict: 0,
    deadLetter: 0,
    message: messages,
    missing: 0,
    unexpected: 0,
    doubled: 0,
    problems: [],
  };
  const deadLetters = await collectDeadLetters(source, check);
  await checkRows(ledger, source, deadLetters, check);
  for (const [from, { reasons, count }] of ledger.deadLetters) {
    for (let copy = 0; copy < count; copy += 1) {
      if (deadLetters.take(from, reasons)) check.deadLetter += 1;
      else note(check, 'missing', `no dead letter with reason ${reasons.join(' or ')}`);
    }
  }
  for (const left of deadLetters.left()) note(check, 'unexpected', `dead letter ${left}`);
  return check;
}

function note(
  check: LedgerCheck,
  what: 'missing' | 'unexpected' | 'doubled',
  words: string,
  records = 1,
): void {
  check[what] += records;
  if (check.problems.length < maxProblems) check.problems.push(`${what}: ${words}`);
}

/** The dead letters that were found; each is taken by the record that expects it. */
interface FoundDeadLetters {
  take(source: number, reasons: readonly string[]): boolean;
  left(): Iterable<string>;
}

interface FoundDeadLetter {
  readonly reason: string;
  readonly description: string;
}

async function collectDeadLetters(
  source: LedgerSource,
  check: LedgerCheck,
): Promise<FoundDeadLetters> {
  const bySource = new Map<number, FoundDeadLetter[]>();
  const seen = new Set<string>();
  for await (const page of source.deadLetters()) {
    for (const deadLetter of page) {
      const { entryId, rejected, original } = readDeadLetter(deadLetter);
      const entry = entryFingerprint(original);
      for (const { recordIndex, reason } of rejected) {
        const description = `${deadLetter.id} for entry ${entryId}, record ${recordIndex ?? 'none'}, reason ${reason}`;
        // A failover may give the id of an entry to another one.
        const record = `${deadLetter.stream ?? ''} ${entryId}/${entry}/${recordIndex ?? ''}`;
        if (seen.has(record)) note(check, 'doubled', `dead letter ${description}`);
        seen.add(record);
        const from = sourceOf(entry, recordIndex);
        const found = bySource.get(from);
        if (found === undefined) bySource.set(from, [{ reason, description }]);
        else found.push({ reason, description });
      }
    }
  }
  return {
    take(from, reasons) {
      const found = bySource.get(from);
      const at = found?.findIndex(({ reason }) => reasons.includes(reason)) ?? -1;
      if (found === undefined || at === -1) return false;
      found.splice(at, 1);
      return true;
    },
    *left() {
      for (const found of bySource.values()) {
        for (const { description } of found) yield description;
      }
    },
  };
}

/** Walks keys and rows side by side; both ascend by device and time. */
async function checkRows(
  ledger: Ledger,
  source: LedgerSource,
  deadLetters: FoundDeadLetters,
  check: LedgerCheck,
): Promise<void> {
  const keys = sentKeys(ledger);
  let key = keys.next().value;
  let last: StoredRow | null = null;
  const lose = (lost: SentKey) => {
    note(check, 'missing', `no row for ${nameOf(lost)}`, lost.records.length);
  };
  for await (const page of source.rows([...ledger.devices.keys()].sort())) {
    for (const row of page) {
      if (last !== null && compareKeys(last, row) >= 0) throw unordered(last, row);
      last = row;
      for (; key !== undefined && compareKeys(key, row) < 0; key = keys.next().value) lose(key);
      if (key !== undefined && compareKeys(key, row) === 0) {
        settle(key, row, deadLetters, check);
        key = keys.next().value;
      } else {
        note(check, 'unexpected', `row ${nameOf(row)}, which was not sent`);
      }
    }
  }
  for (; key !== undefined; key = keys.next().value) lose(key);
}

function settle(
  key: SentKey,
  row: StoredRow,
  deadLetters: FoundDeadLetters,
  check: LedgerCheck,
): void {
  const stored = contentFingerprint(row);
  const same = key.records.filter(({ content }) => content === stored);
  if (!same.some(({ codec }) => codec === row.codec)) {
    const what = same.length === 0 ? 'content' : 'codec';
    note(check, 'unexpected', `row ${nameOf(row)} with a ${what} that was not sent`);
    note(check, 'missing', `${nameOf(key)} as it was sent`, key.records.length);
    return;
  }
  check.inserted += 1;
  check.duplicate += same.length - 1;
  for (const { content, source } of key.records) {
    if (content === stored) continue;
    if (deadLetters.take(source, ['conflict'])) check.conflict += 1;
    else note(check, 'missing', `no dead letter with reason conflict for ${nameOf(key)}`);
  }
}

interface Key {
  readonly deviceId: string;
  readonly ts: number;
}

function compareKeys(a: Key, b: Key): number {
  if (a.deviceId !== b.deviceId) return a.deviceId < b.deviceId ? -1 : 1;
  return a.ts - b.ts;
}

function nameOf({ deviceId, ts }: Key): string {
  return `${deviceId} at ${new Date(ts).toISOString()}`;
}

function unordered(last: Key, row: Key): LedgerError {
  return new LedgerError(
    'rows_unordered',
    `rows must ascend by device and time: ${nameOf(row)} came after ${nameOf(last)}`,
  );
}
