/** One entry of the dead-letter stream: name, value, name, value … */
export interface StoredDeadLetter {
  readonly id: string;
  /** Its dead-letter stream: ids are unique only within one. */
  readonly stream?: string;
  readonly fields: readonly Buffer[];
}

/** A dead letter as the check needs it. */
export interface ReadDeadLetter {
  readonly entryId: string;
  /** Every rejected record; the index is null when the whole entry is rejected. */
  readonly rejected: readonly Rejected[];
  /** The original entry's fields. */
  readonly original: readonly Buffer[];
}

interface Rejected {
  readonly recordIndex: number | null;
  readonly reason: string;
}

const originalPrefix = 'f:';

/**
 * Reads both shapes by the contract alone, so that the check does not share a fault with the code
 * that writes them: a list of rejections, or one dead letter a record.
 */
export function readDeadLetter({ fields }: StoredDeadLetter): ReadDeadLetter {
  const own = new Map<string, string>();
  const original: Buffer[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, value] = [fields[at], fields[at + 1]];
    if (name === undefined || value === undefined) continue;
    if (name.toString('latin1', 0, originalPrefix.length) === originalPrefix) {
      original.push(name.subarray(originalPrefix.length), value);
    } else {
      own.set(name.toString('latin1'), value.toString('utf8'));
    }
  }
  const list = own.get('rejections');
  const rejected =
    list === undefined
      ? [{ recordIndex: indexOf(own.get('record_index')), reason: own.get('reason') ?? '' }]
      : readRejections(list);
  return { entryId: own.get('entry_id') ?? '', rejected, original };
}

function indexOf(text: string | undefined): number | null {
  return /^\d{1,3}$/.test(text ?? '') ? Number(text) : null;
}

function readRejections(text: string): Rejected[] {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) throw new TypeError('rejections: expected a list');
  return list.flatMap((group: unknown) => {
    const parts = new Map<string, unknown>(Object.entries(group ?? {}));
    const [reason, records] = [String(parts.get('reason')), parts.get('records')];
    return indexesOf(records).map((recordIndex) => ({ recordIndex, reason }));
  });
}

/** `0-4,7`, or null for the whole entry. */
function indexesOf(records: unknown): (number | null)[] {
  if (typeof records !== 'string') return [null];
  return records.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}
