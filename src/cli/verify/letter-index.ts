import type { Redis } from 'ioredis';
import type { EntryId } from '../../core/types.ts';
import type { RejectionGroup } from '../../stream/rejections.ts';
import { readDeadLetters } from '../../stream/stored-dead-letters.ts';

/** Which records have a dead letter, by entry and index in the packet. */
export interface LetterIndex {
  /** Reads what was written since the last call. @throws DependencyError */
  catchUp(): Promise<void>;
  has(entryId: EntryId, recordIndex: number | null): boolean;
}

/** Dead letters from this id on; a record's dead letter is younger than its entry. */
export function createLetterIndex(redis: Redis, key: string, from: string): LetterIndex {
  const known = new Map<string, RejectionGroup[]>();
  let next = from;
  return {
    async catchUp() {
      const range = { from: next, to: '+', order: 'oldest_first' } as const;
      for await (const letter of readDeadLetters(redis, key, range)) {
        next = `(${letter.id}`;
        if (letter.kind === 'malformed') continue;
        // Shape 1 has a dead letter for each record of an entry.
        const before = known.get(letter.entryId) ?? [];
        known.set(letter.entryId, [...before, ...letter.rejections]);
      }
    },
    has: (entryId, recordIndex) =>
      known.get(entryId)?.some(({ records }) => covers(records, recordIndex)) ?? false,
  };
}

function covers(records: RejectionGroup['records'], index: number | null): boolean {
  if (records === null || index === null) return records === null && index === null;
  return records.some(([first, last]) => first <= index && index <= last);
}
