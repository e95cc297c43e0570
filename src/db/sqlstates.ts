/**
 * Meaning of a failed statement without further evidence.
 * - `unavailable`: transient; the same batch is retried.
 * - `configuration`: needs the operator; reading stops, nothing is dead-lettered.
 * - `row`: a row or the database's set-up is the cause; if it affects every row, `configuration`.
 * - `batch`: seems transient, but the batch may be the cause (5,000 rows on 5,000 days give 53200);
 *   if it affects every row, `unavailable`.
 */
export type DatabaseErrorClass = 'unavailable' | 'configuration' | 'row' | 'batch';

export interface Meaning {
  readonly class: DatabaseErrorClass;
  /**
   * Whether another row could have been stored. The batch is then bisected, and evidence decides the
   * cause of a refusal (decision 0035).
   */
  readonly mayBeRow: boolean;
}

const transient: Meaning = { class: 'unavailable', mayBeRow: false };
const setUp: Meaning = { class: 'configuration', mayBeRow: false };
const setUpOrRow: Meaning = { class: 'configuration', mayBeRow: true };
const row: Meaning = { class: 'row', mayBeRow: true };
const batch: Meaning = { class: 'batch', mayBeRow: true };

/** Meanings by SQLSTATE or its first three or two characters; the longest key wins. */
const meanings: Readonly<Record<string, Meaning>> = {
  '08': transient, // connection exception
  '0A': setUpOrRow, // feature not supported: another edition, or a frozen chunk
  '22': row, // data exception
  '23': row, // integrity constraint violation
  '25': transient, // 25006, read-only transaction: a failover is under way
  '26': transient, // prepared statement gone: a pooler changed the server connection
  '28': setUp, // authentication
  '3D': setUp, // no such database
  '3F': setUp, // no such schema
  '40': transient, // serialization failure, deadlock
  '42': setUp, // no such table or column
  '428': setUpOrRow, // e.g. 428C9, a value for a generated column
  '42501': setUpOrRow, // no permission, or row-level security refuses a row
  '53': transient, // too many connections, disk full
  '53200': batch, // out of (shared) memory
  '53400': batch, // configuration limit exceeded, e.g. tuples decompressed in one statement
  '54': row, // program limit exceeded, e.g. an index row too large
  '55': transient, // lock not available
  '57': transient, // shutdown, statement timeout
  '58': transient, // I/O error
  F0: setUp,
  P0: row, // raised by a function
  XX: batch, // internal error
};

/** Meaning of a SQLSTATE; an unknown one counts as `row`, so that its retries are bounded. */
export function meaningOf(sqlstate: string): Meaning {
  for (const length of [5, 3, 2]) {
    const meaning = meanings[sqlstate.slice(0, length)];
    if (meaning !== undefined) return meaning;
  }
  return row;
}
