import pg from 'pg';
import { certificateRefused, DependencyError, type WriteReason } from '../core/types.ts';

/**
 * What a failed statement means for the batch it carried.
 * - `unavailable`: passes by itself; the same batch is tried again.
 * - `configuration`: waits for a person; reading stops, nothing is dead-lettered.
 * - `row`: a row is at fault; the batch is bisected until it stands alone.
 * - `batch`: looks transient, but the batch itself caused it (5,000 rows on 5,000 days give
 *   53200); it is split like `row`. A single row that still fails is rejected when others of its
 *   batch were stored (but for 53200), else it is `unavailable`.
 */
export type DatabaseErrorClass = 'unavailable' | 'configuration' | 'row' | 'batch';

/** SQLSTATE, or its two-letter class, to meaning; the longer key wins. */
const sqlstateClasses: Readonly<Record<string, DatabaseErrorClass>> = {
  '08': 'unavailable', // connection exception
  '0A': 'configuration', // feature not supported: an extension too old or another edition
  '22': 'row', // data exception
  '23': 'row', // integrity constraint violation
  '25006': 'unavailable', // read-only transaction: a failover is under way
  '25': 'unavailable',
  '26': 'unavailable', // prepared statement gone: a pooler changed the server connection
  '28': 'configuration', // authentication
  '3D': 'configuration', // no such database
  '3F': 'configuration', // no such schema
  '40': 'unavailable', // serialization failure, deadlock
  '42': 'configuration', // no such table or column, no permission
  '53': 'unavailable', // too many connections, disk full
  '53200': 'batch', // out of (shared) memory
  '53400': 'batch', // configuration limit exceeded, e.g. tuples decompressed in one statement
  '54': 'row', // program limit exceeded, e.g. an index row too large
  '55': 'unavailable', // lock not available
  '57': 'unavailable', // shutdown, statement timeout
  '58': 'unavailable', // I/O error
  F0: 'configuration',
  P0: 'row', // raised by a trigger
  XX: 'batch', // internal error: split, so that one row cannot stop the rest
};

/** Class of a SQLSTATE; an unknown one is split like a bad row, never retried for ever. */
export function classifySqlstate(sqlstate: string): DatabaseErrorClass {
  return sqlstateClasses[sqlstate] ?? sqlstateClasses[sqlstate.slice(0, 2)] ?? 'row';
}

/** The dead letter's reason for a row that failed alone. */
export function writeReasonOf(sqlstate: string): WriteReason {
  if (sqlstate.startsWith('22')) return 'row_value_invalid';
  if (sqlstate.startsWith('23')) return 'row_constraint_violated';
  if (sqlstate.startsWith('54')) return 'row_too_large';
  return 'row_unclassified';
}

export interface DatabaseFailure {
  readonly class: DatabaseErrorClass;
  /** SQLSTATE or Node errno. */
  readonly code: string;
  /** Constraint that refused the row, when told; a name of ours, never a value. */
  readonly constraint: string | null;
}

/**
 * Reads what went wrong from whatever pg threw. Anything that is not an answer of the server
 * (refused, reset, timed out) means the server could not be asked. A programming error is
 * not a failure of the database and is thrown on.
 */
export function readDatabaseFailure(error: unknown): DatabaseFailure {
  if (error instanceof pg.DatabaseError && error.code !== undefined) {
    return {
      class: classifySqlstate(error.code),
      code: error.code,
      constraint: error.constraint ?? null,
    };
  }
  if (error instanceof TypeError || error instanceof RangeError || !(error instanceof Error)) {
    throw error;
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'CONNECTION';
  const refused = certificateRefused.test(code);
  return { class: refused ? 'configuration' : 'unavailable', code, constraint: null };
}

const advice: Readonly<Record<string, string>> = {
  '28P01': 'the password was refused: check POSTGRES_URL or POSTGRES_PASSWORD',
  '28000': 'the login was refused: check the role and pg_hba.conf',
  '3D000': 'the database does not exist: check POSTGRES_URL',
  '42P01': 'a table is missing: run the migrations',
  '42501': 'a permission is missing: grant SELECT and INSERT on positions',
  '53100': 'the disk of the database is full',
  '53300': 'the database has no free connection',
};

function adviceFor(code: string, kind: DependencyError['kind']): string {
  if (certificateRefused.test(code)) {
    return 'its certificate is not trusted: check POSTGRES_CA_FILE, the host in POSTGRES_URL and the certificate';
  }
  return advice[code] ?? (kind === 'configuration' ? 'see the database log' : 'retrying');
}

/** Whatever pg threw, as the error the pipeline understands. */
export function asDependencyError(error: unknown): DependencyError {
  if (error instanceof DependencyError) return error;
  return toDependencyError(readDatabaseFailure(error), error);
}

/** Turns a failure into the error the pipeline understands. Carries no row values. */
export function toDependencyError(failure: DatabaseFailure, cause: unknown): DependencyError {
  const kind = failure.class === 'configuration' ? 'configuration' : 'unavailable';
  const hint = adviceFor(failure.code, kind);
  return new DependencyError('database', kind, failure.code, `database ${failure.code}: ${hint}`, {
    cause,
  });
}
