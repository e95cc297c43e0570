import type { Redis } from 'ioredis';
import type { EntryId } from '../../core/types.ts';
import type { RejectionGroup } from '../../stream/rejections.ts';
import { readDeadLetters } from '../../stream/stored-dead-letters.ts';

/** The records that have a dead letter, by entry and index in the packet. */
export interface DeadLetterIndex {
  /** Reads the dead letters written since the last call. @throws DependencyError */
  catchUp(): Promise<void>;
  has(entryId: EntryId, recordIndex: number | null): boolean;
  /** Ids of the dead letters of this entry that hold none of these records. */
  idsWithout(entryId: EntryId, recordIndexes: ReadonlySet<number>): string[];
}

/** A dead letter of an entry. */
interface Known {
  readonly id: string;
  readonly rejections: readonly RejectionGroup[];
}

/** Indexes dead letters from this id on; a dead letter is newer than its entry. */
export function createDeadLetterIndex(redis: Redis, key: string, from: string): DeadLetterIndex {
  const known = new Map<string, Known[]>();
  let next = from;
  return {
    async catchUp() {
      const range = { from: next, to: '+', order: 'oldest_first' } as const;
      for await (const deadLetter of readDeadLetters(redis, key, range)) {
        next = `(${deadLetter.id}`;
        if (deadLetter.kind === 'malformed') continue;
        // Shape 1 has a dead letter for each record of an entry.
        const before = known.get(deadLetter.entryId) ?? [];
        const { id, rejections } = deadLetter;
        known.set(deadLetter.entryId, [...before, { id, rejections }]);
      }
    },
    has: (entryId, recordIndex) =>
      known
        .get(entryId)
        ?.some(({ rejections }) =>
          rejections.some(({ records }) => covers(records, recordIndex)),
        ) ?? false,
    idsWithout(entryId, recordIndexes) {
      const all = known.get(entryId) ?? [];
      return all
        .filter(({ rejections }) => !holdsAny(rejections, recordIndexes))
        .map(({ id }) => id);
    },
  };
}

/** An entry that is rejected whole holds every record. */
function holdsAny(rejections: readonly RejectionGroup[], wanted: ReadonlySet<number>): boolean {
  const indexes = [...wanted];
  return rejections.some(
    ({ records }) => records === null || indexes.some((index) => covers(records, index)),
  );
}

function covers(records: RejectionGroup['records'], index: number | null): boolean {
  if (records === null || index === null) return records === null && index === null;
  return records.some(([first, last]) => first <= index && index <= last);
}
