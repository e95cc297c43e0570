/** Rows of one or several databases and dead letters of one or several streams, for one ledger. */
import { Redis } from 'ioredis';
import { readDeadLetter, type StoredDeadLetter } from '../../src/simulator/dead-letter.ts';
import { entryFingerprint } from '../../src/simulator/fingerprint.ts';
import type { LedgerSource } from '../../src/simulator/ledger-check.ts';
import { deadLettersOf, type Queryable, rowsOf } from '../../src/simulator/ledger-source.ts';
import type { Places } from './server-set.ts';

export interface SpreadSource {
  readonly places: Places;
  readonly streams: readonly string[];
  /**
   * Fingerprints of entries that failovers took back and that were sent again. One that an instance
   * held meanwhile may leave a dead letter, and so does the same entry when it is sent again.
   */
  readonly takenBack: readonly number[];
}

/** A device whose rows are in two databases is refused by the check: its rows are out of order. */
export function spreadLedgerSource(
  databases: readonly Queryable[],
  { places, streams, takenBack }: SpreadSource,
): LedgerSource {
  return {
    async *rows(deviceIds) {
      for (const deviceId of deviceIds) {
        for (const database of databases) yield* rowsOf(database, deviceId);
      }
    },
    async *deadLetters() {
      const extra = new Map<number, number>();
      for (const one of takenBack) extra.set(one, (extra.get(one) ?? 0) + 1);
      for (const stream of streams) yield* deadLettersIn(places, stream, extra);
    },
  };
}

async function* deadLettersIn(places: Places, stream: string, extra: Map<number, number>) {
  await places.refresh();
  const redis = new Redis(places.last(stream)?.url ?? '', { protocol: 2 });
  try {
    const options = { redis, deadLetterKey: `${stream}:dlq`, deadLettersAfter: null };
    for await (const page of deadLettersOf(options)) {
      const counted: StoredDeadLetter[] = [];
      for (const deadLetter of page) {
        if (!(await isExtra(redis, stream, deadLetter, extra))) counted.push(deadLetter);
      }
      yield counted.map((deadLetter) => qualified(deadLetter, stream));
    }
  } finally {
    redis.disconnect();
  }
}

/** Whether it is of an entry that was taken back, and not of the same one that was sent again. */
async function isExtra(
  redis: Redis,
  stream: string,
  deadLetter: StoredDeadLetter,
  extra: Map<number, number>,
): Promise<boolean> {
  const { entryId, original } = readDeadLetter(deadLetter);
  const fingerprint = entryFingerprint(original);
  const left = extra.get(fingerprint) ?? 0;
  if (left === 0) return false;
  const [found] = await redis.xrangeBuffer(stream, entryId, entryId);
  if (found !== undefined && entryFingerprint(found[1]) === fingerprint) return false;
  extra.set(fingerprint, left - 1);
  return true;
}

/** Ids are unique within a stream only. */
function qualified({ id, fields }: StoredDeadLetter, stream: string): StoredDeadLetter {
  const all = [...fields];
  const at = all.findIndex((field, index) => index % 2 === 0 && field.toString() === 'entry_id');
  const value = all[at + 1];
  if (value !== undefined) all[at + 1] = Buffer.from(`${stream}/${value.toString()}`);
  return { id, fields: all };
}
