import type {
  Entry,
  EntryOrigin,
  HeldEntry,
  Interpretation,
  Position,
  Rejection,
  RowOutcome,
} from './types.ts';

/** Combines an entry with its interpretation, to be held until it is acknowledged. */
export function hold(entry: Entry, found: Interpretation, origin: EntryOrigin): HeldEntry {
  switch (found.kind) {
    case 'records': {
      const records = found.positions.length + found.rejections.length;
      const rejections = found.rejections.length === 0 ? [] : [...found.rejections];
      return {
        entry,
        origin,
        records,
        open: records,
        rejections,
        isMessage: false,
        isReplaced: false,
      };
    }
    case 'message':
      return {
        entry,
        origin,
        records: 1,
        open: 1,
        rejections: [],
        isMessage: true,
        isReplaced: false,
      };
    case 'rejected':
      return {
        entry,
        origin,
        records: 1,
        open: 1,
        rejections: [found.rejection],
        isMessage: false,
        isReplaced: false,
      };
  }
}

/** Builds the rejection of a row that the writer refused or found in conflict. */
export function rejectionOf(
  row: Position,
  outcome: Exclude<RowOutcome, 'inserted' | 'duplicate'>,
): Rejection {
  const base = { recordIndex: row.recordIndex, offset: null };
  if (outcome === 'conflict') {
    const message = 'the stored row under this key has other content; the first version stays';
    return { ...base, stage: 'conflict', reason: 'conflict', message };
  }
  return { ...base, stage: 'write', reason: outcome.reason, message: outcome.message };
}
