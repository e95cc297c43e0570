import pg from 'pg';
import { certificateRefused, DependencyError } from '../core/types.ts';
import { adviceForAll, nameRefuser, noRefuser, type Refuser, readRefuser } from './refuser.ts';
import { type DatabaseErrorClass, meaningOf } from './sqlstates.ts';

export interface DatabaseFailure {
  readonly class: DatabaseErrorClass;
  /** Whether another row could have been stored; evidence then decides the cause. */
  readonly mayBeRow: boolean;
  /** SQLSTATE or Node errno. */
  readonly code: string;
  /** What refused the row, if the server names it. */
  readonly refuser: Refuser;
}

/**
 * Classifies an error of pg. An error that is not a reply of the server (refused, reset, timed out)
 * means that the server was not available. A programming error is not a database failure and is
 * rethrown.
 */
export function readDatabaseFailure(error: unknown): DatabaseFailure {
  if (error instanceof pg.DatabaseError && error.code !== undefined) {
    const meaning = meaningOf(error.code);
    const refuser = readRefuser(error);
    // A function that a row runs may fail with any code, and may fail for that row alone.
    const mayBeRow = meaning.mayBeRow || (refuser.function !== null && isLasting(meaning.class));
    return { class: meaning.class, mayBeRow, code: error.code, refuser };
  }
  if (error instanceof TypeError || error instanceof RangeError || !(error instanceof Error)) {
    throw error;
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'CONNECTION';
  const refused = certificateRefused.test(code);
  return {
    class: refused ? 'configuration' : 'unavailable',
    mayBeRow: false,
    code,
    refuser: noRefuser,
  };
}

function isLasting(kind: DatabaseErrorClass): boolean {
  return kind !== 'unavailable';
}

const advice: Readonly<Record<string, string>> = {
  '0A000':
    'a feature is missing: check for rules on positions, frozen chunks or another edition of TimescaleDB',
  '28P01': 'the password was refused: check POSTGRES_URL or POSTGRES_PASSWORD',
  '28000': 'the login was refused: check the role and pg_hba.conf',
  '3D000': 'the database does not exist: check POSTGRES_URL',
  '25006': 'the server takes no writes: is it a standby, or is a failover under way?',
  '42P01': 'a table is missing: run the migrations',
  '42P10':
    'positions has no primary key: ALTER TABLE public.positions ADD PRIMARY KEY (device_id, ts), once no key occurs twice',
  '42501': 'a permission is missing: grant SELECT and INSERT on positions',
  '53100': 'the disk of the database is full',
  '53300':
    'the database, or the role, has no free connection: see CONNECTION LIMIT and max_connections',
};

function adviceFor({ code, refuser }: DatabaseFailure, kind: DependencyError['kind']): string {
  if (certificateRefused.test(code)) {
    return 'its certificate is not trusted: check POSTGRES_CA_FILE, the host in POSTGRES_URL and the certificate';
  }
  if (kind === 'unavailable') return advice[code] ?? 'not available at the moment';
  return adviceForAll(code, refuser) ?? advice[code] ?? 'see the database log';
}

/** Turns an error of pg into a DependencyError. */
export function asDependencyError(error: unknown): DependencyError {
  if (error instanceof DependencyError) return error;
  return toDependencyError(readDatabaseFailure(error), error);
}

/** Turns a failure into a DependencyError, which contains no row values. */
export function toDependencyError(failure: DatabaseFailure, cause: unknown): DependencyError {
  const isSetUp = failure.class === 'configuration' || failure.class === 'row';
  const kind = isSetUp ? 'configuration' : 'unavailable';
  const hint = adviceFor(failure, kind);
  return new DependencyError('database', kind, failure.code, `database ${failure.code}: ${hint}`, {
    cause,
  });
}

/** The dead letter's message for a refused row: code and names, never a value. */
export function describeRefusal({ code, refuser }: DatabaseFailure): string {
  const by = nameRefuser(refuser);
  return `refused by the database: ${code}${by === null ? '' : ` by ${by}`}`;
}
