import type { Redis } from 'ioredis';
import type { StoredDeadLetter } from './dead-letter.ts';
import type { LedgerSource, StoredRow } from './ledger-check.ts';

/** Runs one statement; the rows as objects. A pg client or pool has it as `query`. */
export interface Queryable {
  query(statement: { name: string; text: string; values: unknown[] }): Promise<{ rows: unknown[] }>;
}

export interface LedgerSourceOptions {
  readonly database: Queryable;
  readonly redis: Redis;
  readonly deadLetterKey: string;
  /** Dead deadLetters up to this id are not of this run; null takes all. */
  readonly deadLettersAfter: string | null;
}

const pageRows = 5_000;
const pageDeadLetters = 500;

/** Columns under the names of `StoredRow`; the time exact, so that a fraction would be seen. */
const statement = {
  name: 'ledger-rows',
  text: `
SELECT device_id AS "deviceId", (extract(epoch FROM ts) * 1000)::float8 AS ts, ts::text AS place,
       latitude, longitude, altitude, angle, speed, satellites, priority, fix,
       event_io_id AS "eventIoId", generation_type AS "generationType", codec, attributes
FROM public.positions WHERE device_id = $1 AND ts > $2::timestamptz ORDER BY ts LIMIT ${pageRows}`,
};

/** The table `positions` and the dead-letter stream, read in pages. */
export function createLedgerSource(options: LedgerSourceOptions): LedgerSource {
  return {
    async *rows(deviceIds) {
      for (const deviceId of deviceIds) yield* rowsOf(options.database, deviceId);
    },
    deadLetters: () => deadLettersOf(options),
  };
}

/** The table, and the dead letters of several shards. */
export function joinSources(first: LedgerSource, others: readonly LedgerSource[]): LedgerSource {
  return {
    rows: (deviceIds) => first.rows(deviceIds),
    async *deadLetters() {
      for (const source of [first, ...others]) yield* source.deadLetters();
    },
  };
}

interface PagedRow extends StoredRow {
  /** The row's exact time, where the next page continues. */
  readonly place: string;
}

/** Every row of one device, in pages, ascending by time. */
export async function* rowsOf(database: Queryable, deviceId: string): AsyncGenerator<StoredRow[]> {
  let place = '-infinity';
  for (;;) {
    const { rows } = await database.query({ ...statement, values: [deviceId, place] });
    const page = rows.filter(isPagedRow);
    if (page.length !== rows.length) throw new TypeError('positions: a row of another shape');
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    if (page.length < pageRows) return;
    place = last.place;
  }
}

/** The statement names the columns and the table their types; this holds the two together. */
function isPagedRow(row: unknown): row is PagedRow {
  return (
    typeof row === 'object' &&
    row !== null &&
    'ts' in row &&
    typeof row.ts === 'number' &&
    'angle' in row &&
    (row.angle === null || typeof row.angle === 'number') &&
    'place' in row &&
    typeof row.place === 'string' &&
    'attributes' in row &&
    typeof row.attributes === 'object' &&
    row.attributes !== null
  );
}

/** Every dead letter of one stream, in pages. */
export async function* deadLettersOf({
  redis,
  deadLetterKey,
  deadLettersAfter,
}: Omit<LedgerSourceOptions, 'database'>): AsyncGenerator<StoredDeadLetter[]> {
  let from = deadLettersAfter === null ? '-' : `(${deadLettersAfter}`;
  for (;;) {
    const found = await redis.xrangeBuffer(deadLetterKey, from, '+', 'COUNT', pageDeadLetters);
    const page = found.map(([id, fields]) => {
      return { id: id.toString('latin1'), stream: deadLetterKey, fields };
    });
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    from = `(${last.id}`;
  }
}
