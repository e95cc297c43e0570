/**
 * What a failed statement means where nothing else is known.
 * - `unavailable`: passes by itself; the same batch is retried.
 * - `configuration`: waits for a person; reading stops, nothing is dead-lettered.
 * - `row`: a row, or the set-up that receives it, is at fault; for every row alike it is
 *   `configuration`.
 * - `batch`: looks transient, but the batch itself may cause it (5,000 rows on 5,000 days give
 *   53200); for every row alike it is `unavailable`.
 */
export type DatabaseErrorClass = 'unavailable' | 'configuration' | 'row' | 'batch';

export interface Meaning {
  readonly class: DatabaseErrorClass;
  /**
   * Whether another row could have been stored. Then the batch is bisected, and evidence decides
   * whose fault a refusal is (decision 0035).
   */
  readonly mayBeRow: boolean;
}

const passes: Meaning = { class: 'unavailable', mayBeRow: false };
const setUp: Meaning = { class: 'configuration', mayBeRow: false };
const setUpOrRow: Meaning = { class: 'configuration', mayBeRow: true };
const row: Meaning = { class: 'row', mayBeRow: true };
const batch: Meaning = { class: 'batch', mayBeRow: true };

/** SQLSTATE, or a prefix of it of three or two characters, to meaning; the longest key wins. */
const meanings: Readonly<Record<string, Meaning>> = {
  '08': passes, // connection exception
  '0A': setUpOrRow, // feature not supported: another edition, or a frozen chunk
  '22': row, // data exception
  '23': row, // integrity constraint violation
  '25': passes, // 25006, read-only transaction: a failover is under way
  '26': passes, // prepared statement gone: a pooler changed the server connection
  '28': setUp, // authentication
  '3D': setUp, // no such database
  '3F': setUp, // no such schema
  '40': passes, // serialization failure, deadlock
  '42': setUp, // no such table or column
  '428': setUpOrRow, // e.g. 428C9, a value for a generated column
  '42501': setUpOrRow, // no permission, or row-level security refuses a row
  '53': passes, // too many connections, disk full
  '53200': batch, // out of (shared) memory
  '53400': batch, // configuration limit exceeded, e.g. tuples decompressed in one statement
  '54': row, // program limit exceeded, e.g. an index row too large
  '55': passes, // lock not available
  '57': passes, // shutdown, statement timeout
  '58': passes, // I/O error
  F0: setUp,
  P0: row, // raised by a function
  XX: batch, // internal error
};

/** Meaning of a SQLSTATE; an unknown one may be the row's, so that it is not retried for ever. */
export function meaningOf(sqlstate: string): Meaning {
  for (const length of [5, 3, 2]) {
    const meaning = meanings[sqlstate.slice(0, length)];
    if (meaning !== undefined) return meaning;
  }
  return row;
}
