import { compareIds } from '../../stream/entry-id.ts';
import type { TrimmedPart } from '../../stream/range.ts';
import { countText, plural } from '../format.ts';
import { inShards, linesOf, shardJson, shownId } from '../shard-text.ts';
import type { Answered, StreamStore } from '../shards.ts';
import { table } from '../table.ts';
import { type Fate, type Finding, fates, noFates, type VerifyResult } from './account.ts';
import type { Residual } from './residuals.ts';
import type { StreamVerified } from './stream.ts';

type Verified = Answered<StreamVerified>;

/** The streams together. */
export interface VerifySum extends Omit<VerifyResult, 'findings' | 'missing'> {
  readonly findings: readonly { readonly store: StreamStore; readonly finding: Finding }[];
}

export function sumOf(verified: readonly Verified[], maxFindings: number): VerifySum {
  const sum = (pick: (result: VerifyResult) => number) =>
    verified.reduce((total, { value }) => total + pick(value.result), 0);
  const counts: Record<Fate, number> = { ...noFates };
  for (const fate of fates) counts[fate] = sum((result) => result.fates[fate]);
  const all = verified.flatMap(({ store, value }) =>
    value.result.findings.map((finding) => ({ store, finding })),
  );
  const of = (fate: Finding['fate']) => all.filter(({ finding }) => finding.fate === fate);
  const findings = [...of('missing'), ...of('letter_gone')].slice(0, maxFindings);
  return {
    entries: sum(({ entries }) => entries),
    records: sum(({ records }) => records),
    fates: counts,
    findings,
    unlisted: counts.missing + counts.letter_gone - findings.length,
  };
}

export function sumJson({
  entries,
  records,
  fates: counts,
  findings,
  unlisted,
}: VerifySum): object {
  return {
    entries,
    records,
    ...counts,
    findings_not_listed: unlisted,
    findings: findings.map(({ store, finding: { fate, entryId, recordIndex, device, ts } }) => {
      const time = ts === null ? null : new Date(ts).toISOString();
      const entry_id = shownId(store, entryId);
      return shardJson(store, { fate, entry_id, record_index: recordIndex, device, ts: time });
    }),
  };
}

/** One shard's own numbers. */
export function streamJson({ result, unexamined }: StreamVerified): object {
  const { entries, records, fates: counts } = result;
  return { entries, records, ...counts, ...trimmedJson(unexamined) };
}

/** What was trimmed of all streams: the newest bound, and the sum. */
export function unexaminedJson(verified: readonly Verified[]): object {
  const parts = verified.flatMap(({ value }) => value.unexamined ?? []);
  const [newest] = parts.toSorted((a, b) => compareIds(b.before, a.before));
  if (newest === undefined) return trimmedJson(null);
  const entries = parts.reduce((sum, part) => sum + part.entries, 0);
  return trimmedJson({ before: newest.before, entries });
}

function trimmedJson(trimmed: TrimmedPart | null): object {
  return { trimmed_before: trimmed?.before ?? null, not_examined_at_most: trimmed?.entries ?? 0 };
}

export function textOf(
  sum: VerifySum,
  verified: readonly Verified[],
  more: { readonly residuals: readonly Residual[]; readonly interrupted: boolean },
): string {
  const { entries, records, fates: counts, findings, unlisted } = sum;
  const rows = fates.map((fate) => [fate, countText(counts[fate])]);
  const lines = [
    table([['entries', countText(entries)], ['records', countText(records)], ...rows]),
    ...shardTable(verified, counts),
    ...residualLines(more.residuals),
    ...unexaminedLines(verified),
  ];
  if (counts.missing > 0) {
    lines.push(
      'missing: rows were deleted, an older backup was restored, or this is a bug (OPERATIONS.md)',
    );
  }
  if (counts.letter_gone > 0) {
    lines.push('letter_gone: replayed, purged or trimmed; the audit shows by whom (OPERATIONS.md)');
  }
  if (findings.length > 0) lines.push(findingTable(findings));
  if (unlisted > 0) lines.push(`and ${countText(unlisted)} more; list them with --limit`);
  if (more.interrupted) lines.push('interrupted: this is what was verified by then');
  return lines.join('\n');
}

function residualLines(residuals: readonly Residual[]): string[] {
  return residuals.map(({ url, residual }) => {
    const says = residual === null ? 'does not answer' : `${residual} records unaccounted for`;
    return `account of ${url}: ${residual === 0 ? 'adds up' : says}`;
  });
}

function unexaminedLines(verified: readonly Verified[]): string[] {
  const trimmed = verified.flatMap(({ store, value: { unexamined } }) =>
    unexamined === null ? [] : [{ store, value: unexamined }],
  );
  const text = linesOf(trimmed, ({ before, entries }, stores) => {
    const count = plural(entries, 'entry', 'entries');
    return `up to ${count}${inShards(stores)} could not be examined: trimmed from the stream before ${before}`;
  });
  return text === '' ? [] : [text];
}

function findingTable(findings: VerifySum['findings']): string {
  const found = findings.map(({ store, finding: { fate, entryId, recordIndex, device, ts } }) => [
    fate,
    shownId(store, entryId),
    String(recordIndex ?? '-'),
    device ?? '-',
    ts === null ? '-' : new Date(ts).toISOString(),
  ]);
  return table([['FATE', 'ENTRY', 'RECORD', 'DEVICE', 'TIME'], ...found]);
}

/** Each shard, with the fates that any of them has; nothing without shards. */
function shardTable(
  verified: readonly Verified[],
  counts: Readonly<Record<Fate, number>>,
): string[] {
  const some = fates.filter((fate) => counts[fate] > 0);
  const rows = verified.flatMap(({ store: { stream }, value: { result } }) => {
    if (stream.shard === null) return [];
    const { entries, records } = result;
    const numbers = [stream.shard, entries, records, ...some.map((fate) => result.fates[fate])];
    return [numbers.map(countText)];
  });
  if (rows.length === 0) return [];
  const heading = ['SHARD', 'ENTRIES', 'RECORDS', ...some.map((fate) => fate.toUpperCase())];
  return [table([heading, ...rows])];
}
