import type { Redis } from 'ioredis';
import type { Entry, EntryId } from '../../core/types.ts';
import { digestFields } from '../../stream/dead-letters.ts';
import type { RejectionGroup } from '../../stream/rejections.ts';
import { readDeadLetters } from '../../stream/stored-dead-letters.ts';

/** The records that have a dead letter, by entry and index in the packet. */
export interface DeadLetterIndex {
  /** Reads the dead letters written since the last call. @throws DependencyError */
  catchUp(): Promise<void>;
  has(entryId: EntryId, recordIndex: number | null): boolean;
  /**
   * Whether an entry with the same content has it, under this id or another one: an entry that was
   * sent again by `dlq replay` or `verify --resend` leaves one dead letter. That of another entry
   * which had this id before a failover does not count.
   */
  hasContent(entry: Pick<Entry, 'id' | 'fields'>, recordIndex: number | null): boolean;
  /** Ids of the dead letters of this entry that hold none of these records. */
  idsWithout(entryId: EntryId, recordIndexes: ReadonlySet<number>): string[];
}

/** A dead letter of an entry. */
interface Known {
  readonly id: string;
  /** Shape 1 has none. */
  readonly fieldsSha256: string | null;
  readonly rejections: readonly RejectionGroup[];
}

/** Indexes dead letters from this id on; a dead letter is newer than its entry. */
export function createDeadLetterIndex(redis: Redis, key: string, from: string): DeadLetterIndex {
  /** By entry id, and by the digest of the entry's content. */
  const known = new Map<string, Known[]>();
  let next = from;
  const knownAs = (key: string) => known.get(key) ?? [];
  return {
    async catchUp() {
      const range = { from: next, to: '+', order: 'oldest_first' } as const;
      for await (const deadLetter of readDeadLetters(redis, key, range)) {
        next = `(${deadLetter.id}`;
        if (deadLetter.kind === 'malformed') continue;
        const { id, entryId, fieldsSha256, rejections } = deadLetter;
        // Shape 1 has a dead letter for each record of an entry, and no digest.
        for (const key of fieldsSha256 === null ? [entryId] : [entryId, fieldsSha256]) {
          const list = known.get(key) ?? [];
          list.push({ id, fieldsSha256, rejections });
          known.set(key, list);
        }
      }
    },
    has: (entryId, recordIndex) => holds(knownAs(entryId), recordIndex),
    hasContent({ id, fields }, recordIndex) {
      const ofUnknownContent = knownAs(id).filter(({ fieldsSha256 }) => fieldsSha256 === null);
      return (
        holds(ofUnknownContent, recordIndex) ||
        holds(knownAs(digestFields(fields.parts())), recordIndex)
      );
    },
    idsWithout(entryId, recordIndexes) {
      return knownAs(entryId)
        .filter(({ rejections }) => !holdsAny(rejections, recordIndexes))
        .map(({ id }) => id);
    },
  };
}

function holds(deadLetters: readonly Known[], recordIndex: number | null): boolean {
  return deadLetters.some(({ rejections }) =>
    rejections.some(({ records }) => covers(records, recordIndex)),
  );
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
