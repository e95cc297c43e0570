import type { Command } from 'commander';
import type { Entry, EntryId, Interpretation, Position } from '../core/types.ts';
import { compareStored } from '../db/stored-rows.ts';
import {
  idFaultsOf,
  type Page,
  readRange,
  type TrimmedPart,
  trimmedPart,
} from '../stream/range.ts';
import { createInterpret } from '../teltonika/interpret.ts';
import { countText, plural } from './format.ts';
import { idFaultText } from './id-fault.ts';
import { type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, collect, instant, positive, type SetExitCode } from './options.ts';
import { readResidual } from './status/instance.ts';
import { type Stores, withStores } from './stores.ts';
import { table } from './table.ts';
import { createVerifyAccount, fates, type VerifyResult } from './verify/account.ts';
import { createDeadLetterIndex } from './verify/dead-letter-index.ts';

interface VerifyOptions {
  readonly json: boolean;
  readonly from: number;
  readonly to?: number;
  readonly device?: string;
  readonly limit: number;
  readonly metricsUrl: readonly string[];
}

/** Registers `processor verify`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .option(
      '--from <time>',
      'start of the range: ISO 8601, or how long ago: 30m, 2h, 7d; default 1h',
      instant,
    )
    .option('--to <time>', 'end of the range, in the same form; default now', instant)
    .option('--device <imei>', 'only entries of this device')
    .option('--limit <findings>', 'maximum of findings listed; all are counted', positive, 20)
    .option(
      '--metrics-url <url>',
      "an instance's /metrics, to check its account too; may be repeated",
      collect,
      [],
    )
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing is missing, 1 failed or interrupted, 2 wrong usage, 3 dead letters are gone or a part of the range could not be examined, 4 records are missing.',
    )
    .action(async (flags: VerifyOptions) =>
      setExitCode(await runVerify(cliIo(), { ...flags, from: flags.from ?? instant('1h') })),
    );
}

export interface VerifyFlags extends OutputFlags {
  /** Epoch milliseconds of the entries' own ids. */
  readonly from: number;
  readonly to?: number;
  readonly device?: string;
  /** Findings that are listed; all are counted. */
  readonly limit: number;
  readonly metricsUrl: readonly string[];
}

/** As other commands' codes; 3: dead letters are gone, or a part could not be examined; 4: records are missing. */
export const verifyExits = { ...cliExits, attention: 3, missing: 4 } as const;

/** `processor verify`: checks that every record of a time range is stored or dead-lettered. */
export function runVerify(io: CliIo, flags: VerifyFlags): Promise<number> {
  return withStores<number>(io, async (stores) => {
    const redis = await stores.redis();
    const { stream } = stores.config;
    const from = String(flags.from);
    const faults = await idFaultsOf(redis, stream.key, Date.now());
    if (faults.length > 0) {
      for (const fault of faults) io.stderr.write(`processor: ${idFaultText(fault)}\n`);
      io.stderr.write('processor: nothing was verified; the range of --from is a range of ids\n');
      return verifyExits.failed;
    }
    const trimmed = await trimmedPart(redis, stream.key);
    const isTrimmed = trimmed !== null && Number.parseInt(trimmed.before, 10) > flags.from;
    const unexamined = isTrimmed ? trimmed : null;
    const deadLetters = createDeadLetterIndex(redis, stream.deadLetterKey, from);
    const account = createVerifyAccount(flags.limit);
    const verifyPage = createPageVerifier(stores, account, deadLetters, flags.device);
    const range = { from, to: flags.to === undefined ? '+' : String(flags.to) };
    for await (const page of readRange(redis, stream, range)) {
      // The dead letters of entries that were settled when the page was read exist by now.
      await deadLetters.catchUp();
      await verifyPage(page);
      if (io.signal.aborted) break;
    }
    const residuals = await residualsOf(flags.metricsUrl);
    const result = account.result();
    const interrupted = io.signal.aborted;
    print(
      io,
      flags,
      { ...jsonOf(result), residuals, ...unexaminedJson(unexamined), interrupted },
      textOf(result, { residuals, unexamined, interrupted }),
    );
    const isUnanswered = residuals.some(({ residual }) => residual === null);
    if (interrupted || isUnanswered) return verifyExits.failed;
    const addsUp = residuals.every(({ residual }) => residual === 0);
    if (result.fates.missing > 0 || !addsUp) return verifyExits.missing;
    const isWhole = unexamined === null && result.fates.letter_gone === 0;
    return isWhole ? verifyExits.ok : verifyExits.attention;
  });
}

type Account = ReturnType<typeof createVerifyAccount>;
type DeadLetters = ReturnType<typeof createDeadLetterIndex>;

/** A record that has to be in the table. */
interface Expected {
  readonly entryId: EntryId;
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
      const isThere = deadLetters.has(entry.id, recordIndex);
      const finding = { entryId: entry.id, recordIndex, device: null, ts: null };
      account.settle(isThere ? 'dead_letter' : 'letter_gone', finding);
    }
    return found.kind === 'rejected'
      ? []
      : found.positions.map((row) => ({ entryId: entry.id, row }));
  }

  function settle({ entryId, row }: Expected, stored: 'same' | 'other' | 'absent'): void {
    const { recordIndex, deviceId, ts } = row;
    const finding = { entryId, recordIndex, device: deviceId, ts };
    const hasDeadLetter = deadLetters.has(entryId, recordIndex);
    if (stored === 'same') account.settle('stored');
    else if (stored === 'other')
      account.settle(hasDeadLetter ? 'conflict' : 'letter_gone', finding);
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

/** The residual of an instance's account; null when the instance does not answer. */
interface Residual {
  readonly url: string;
  readonly residual: number | null;
}

function residualsOf(urls: readonly string[]): Promise<Residual[]> {
  return Promise.all(
    urls.map(async (url) => {
      // Any failure of fetch means that the instance does not answer.
      const residual = await readResidual(url).catch(() => null);
      return { url, residual };
    }),
  );
}

function unexaminedJson(trimmed: TrimmedPart | null): object {
  return { trimmed_before: trimmed?.before ?? null, not_examined_at_most: trimmed?.entries ?? 0 };
}

function jsonOf({ entries, records, fates: counts, findings, unlisted }: VerifyResult): object {
  return {
    entries,
    records,
    ...counts,
    findings_not_listed: unlisted,
    findings: findings.map(({ fate, entryId, recordIndex, device, ts }) => {
      const time = ts === null ? null : new Date(ts).toISOString();
      return { fate, entry_id: entryId, record_index: recordIndex, device, ts: time };
    }),
  };
}

function textOf(
  { entries, records, fates: counts, findings, unlisted }: VerifyResult,
  more: { residuals: readonly Residual[]; unexamined: TrimmedPart | null; interrupted: boolean },
): string {
  const rows = fates.map((fate) => [fate, countText(counts[fate])]);
  const lines = [
    table([['entries', countText(entries)], ['records', countText(records)], ...rows]),
  ];
  for (const { url, residual } of more.residuals) {
    const says = residual === null ? 'does not answer' : `${residual} records unaccounted for`;
    lines.push(`account of ${url}: ${residual === 0 ? 'adds up' : says}`);
  }
  if (more.unexamined !== null) {
    const { before, entries: removed } = more.unexamined;
    const count = plural(removed, 'entry', 'entries');
    lines.push(`up to ${count} could not be examined: trimmed from the stream before ${before}`);
  }
  if (counts.missing > 0) {
    lines.push(
      'missing: rows were deleted, an older backup was restored, or this is a bug (OPERATIONS.md)',
    );
  }
  if (counts.letter_gone > 0) {
    lines.push('letter_gone: replayed, purged or trimmed; the audit shows by whom (OPERATIONS.md)');
  }
  if (findings.length > 0) {
    const found = findings.map(({ fate, entryId, recordIndex, device, ts }) => [
      fate,
      entryId,
      String(recordIndex ?? '-'),
      device ?? '-',
      ts === null ? '-' : new Date(ts).toISOString(),
    ]);
    lines.push(table([['FATE', 'ENTRY', 'RECORD', 'DEVICE', 'TIME'], ...found]));
  }
  if (unlisted > 0) lines.push(`and ${countText(unlisted)} more; list them with --limit`);
  if (more.interrupted) lines.push('interrupted: this is what was verified by then');
  return lines.join('\n');
}
