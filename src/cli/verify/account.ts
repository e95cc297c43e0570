import type { EntryId } from '../../core/types.ts';

/** The fate of a record, as stream, table and dead letters show it. */
export const fates = [
  /** The row with the record's key has the same content. */
  'stored',
  /** The row with the record's key has other content, and the dead letter exists. */
  'conflict',
  'dead_letter',
  'message',
  /** Delivered, not acknowledged yet. */
  'pending',
  /** Not delivered yet. */
  'undelivered',
  /** Not in the table, and older than RETENTION. */
  'expired',
  /** It was rejected, and its dead letter is gone: replayed, purged or trimmed. */
  'letter_gone',
  /** It is settled and has neither a row nor a dead letter: lost. */
  'missing',
] as const;
export type Fate = (typeof fates)[number];

export const noFates: Readonly<Record<Fate, number>> = {
  stored: 0,
  conflict: 0,
  dead_letter: 0,
  message: 0,
  pending: 0,
  undelivered: 0,
  expired: 0,
  letter_gone: 0,
  missing: 0,
};

/** A record that is not where it should be. */
export interface Finding {
  readonly fate: 'missing' | 'letter_gone';
  readonly entryId: EntryId;
  readonly recordIndex: number | null;
  readonly device: string | null;
  readonly ts: number | null;
}

export interface VerifyResult {
  readonly entries: number;
  readonly records: number;
  readonly fates: Readonly<Record<Fate, number>>;
  /** At most `maxFindings`; missing records first. */
  readonly findings: readonly Finding[];
  /** Findings that are counted and not listed. */
  readonly unlisted: number;
  /** Entries with a missing record and their devices, oldest first, at most `maxMissingEntries`. */
  readonly missing: ReadonlyMap<EntryId, string>;
}

/** Bounds the memory for entries to resend. */
export const maxMissingEntries = 100_000;

/** Counts records by fate; each record has exactly one. */
export function createVerifyAccount(maxFindings: number): {
  entry(): void;
  settle(fate: Fate, finding?: Omit<Finding, 'fate'>): void;
  result(): VerifyResult;
} {
  const counts: Record<Fate, number> = { ...noFates };
  const findings: Record<Finding['fate'], Finding[]> = { missing: [], letter_gone: [] };
  const missing = new Map<EntryId, string>();
  let entries = 0;
  return {
    entry() {
      entries += 1;
    },
    settle(fate, finding) {
      counts[fate] += 1;
      if (fate !== 'missing' && fate !== 'letter_gone') return;
      const listed = findings[fate];
      if (fate === 'missing' && finding !== undefined && missing.size < maxMissingEntries) {
        missing.set(finding.entryId, finding.device ?? '');
      }
      if (finding !== undefined && listed.length < maxFindings) listed.push({ fate, ...finding });
    },
    result() {
      const records = fates.reduce((sum, fate) => sum + counts[fate], 0);
      const listed = [...findings.missing, ...findings.letter_gone].slice(0, maxFindings);
      const unlisted = counts.missing + counts.letter_gone - listed.length;
      return { entries, records, fates: counts, findings: listed, unlisted, missing };
    },
  };
}
