import type { Redis } from 'ioredis';
import type { EntryId } from '../../core/types.ts';
import { readLetters } from '../../stream/letters.ts';

/** Which records have a letter, by entry and place in it. */
export interface LetterIndex {
  /** Reads what was written since the last call. @throws DependencyError */
  catchUp(): Promise<void>;
  has(entryId: EntryId, recordIndex: number | null): boolean;
}

/** Letters from this id on; a record's letter is younger than its entry. */
export function createLetterIndex(redis: Redis, key: string, from: string): LetterIndex {
  const known = new Set<string>();
  let next = from;
  return {
    async catchUp() {
      const range = { from: next, to: '+', order: 'oldest_first' } as const;
      for await (const letter of readLetters(redis, key, range)) {
        next = `(${letter.id}`;
        if (letter.kind === 'letter') known.add(keyOf(letter.entryId, letter.recordIndex));
      }
    },
    has: (entryId, recordIndex) => known.has(keyOf(entryId, recordIndex)),
  };
}

function keyOf(entryId: string, recordIndex: number | null): string {
  return `${entryId} ${recordIndex ?? ''}`;
}
