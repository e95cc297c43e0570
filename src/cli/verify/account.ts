import type { EntryId } from '../../core/types.ts';

/** What becomes of records, as far as stream, table and dead letters tell it. */
export const fates = [
  /** Under the record's key lies the same content. */
  'stored',
  /** Under its key lies another version, and the letter is there. */
  'conflict',
  'dead_letter',
  'message',
  /** Delivered, not acknowledged yet. */
  'pending',
  /** Not delivered yet. */
  'undelivered',
  /** Not in the table, and older than RETENTION. */
  'expired',
  /** It was rejected, and its letter is there no more: replayed, purged or trimmed. */
  'letter_gone',
  /** Neither a row nor a letter, and settled: lost. */
  'missing',
] as const;
export type Fate = (typeof fates)[number];

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
  /** At most as many as asked for; records that are missing first. */
  readonly findings: readonly Finding[];
  /** Findings that are counted and not listed. */
  readonly unlisted: number;
}

/** Counts records by what became of them; each ends in exactly one. */
export function createVerifyAccount(maxFindings: number): {
  entry(): void;
  settle(fate: Fate, finding?: Omit<Finding, 'fate'>): void;
  result(): VerifyResult;
} {
  const counts: Record<Fate, number> = {
    ...{ stored: 0, conflict: 0, dead_letter: 0, message: 0, pending: 0, undelivered: 0 },
    ...{ expired: 0, letter_gone: 0, missing: 0 },
  };
  const findings: Record<Finding['fate'], Finding[]> = { missing: [], letter_gone: [] };
  let entries = 0;
  return {
    entry() {
      entries += 1;
    },
    settle(fate, finding) {
      counts[fate] += 1;
      if (fate !== 'missing' && fate !== 'letter_gone') return;
      const listed = findings[fate];
      if (finding !== undefined && listed.length < maxFindings) listed.push({ fate, ...finding });
    },
    result() {
      const records = fates.reduce((sum, fate) => sum + counts[fate], 0);
      const listed = [...findings.missing, ...findings.letter_gone].slice(0, maxFindings);
      const unlisted = counts.missing + counts.letter_gone - listed.length;
      return { entries, records, fates: counts, findings: listed, unlisted };
    },
  };
}
