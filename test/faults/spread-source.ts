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
  readonly heldAndTakenBack: readonly TakenBack[];
}

/**
 * An entry that a failover took back while an instance held it. It may leave one dead letter, and
 * so does the same entry when it is sent again.
 */
export interface TakenBack {
  readonly id: string;
  readonly fingerprint: number;
}

/** A device whose rows are in two databases is refused by the check: its rows are out of order. */
export function spreadLedgerSource(
  databases: readonly Queryable[],
  { places, streams, heldAndTakenBack }: SpreadSource,
): LedgerSource {
  return {
    async *rows(deviceIds) {
      for (const deviceId of deviceIds) {
        for (const database of databases) yield* rowsOf(database, deviceId);
      }
    },
    async *deadLetters() {
      const extra = new Set(heldAndTakenBack.map(nameOf));
      for (const stream of streams) yield* deadLettersIn(places, stream, extra);
    },
  };
}

const nameOf = ({ id, fingerprint }: TakenBack) => `${id} ${fingerprint}`;

async function* deadLettersIn(places: Places, stream: string, extra: Set<string>) {
  await places.refresh();
  const redis = new Redis(places.last(stream)?.url ?? '', { protocol: 2 });
  try {
    const options = { redis, deadLetterKey: `${stream}:dlq`, deadLettersAfter: null };
    for await (const page of deadLettersOf(options)) {
      const counted = page.filter((deadLetter) => {
        const { entryId: id, original } = readDeadLetter(deadLetter);
        return !extra.delete(nameOf({ id, fingerprint: entryFingerprint(original) }));
      });
      yield counted.map((deadLetter) => qualified(deadLetter, stream));
    }
  } finally {
    redis.disconnect();
  }
}

/** Ids are unique within a stream only. */
function qualified({ id, fields }: StoredDeadLetter, stream: string): StoredDeadLetter {
  const all = [...fields];
  const at = all.findIndex((field, index) => index % 2 === 0 && field.toString() === 'entry_id');
  const value = all[at + 1];
  if (value !== undefined) all[at + 1] = Buffer.from(`${stream}/${value.toString()}`);
  return { id, fields: all };
}
