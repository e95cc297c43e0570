import type pg from 'pg';
import type { WriteReason } from '../core/types.ts';

/** What refused a row: names from the server's error, never its texts, which contain values. */
export interface Refuser {
  /** The table, or the chunk of the hypertable. */
  readonly table: string | null;
  readonly column: string | null;
  readonly constraint: string | null;
  /** The function that failed: of a trigger, or called by a constraint or a default. */
  readonly function: string | null;
  /** The frozen or tiered chunk. */
  readonly frozenChunk: boolean;
  /** A policy of row-level security. */
  readonly isPolicy: boolean;
  /** Triggers and rules of `positions`, where a row was skipped. */
  readonly skippers: readonly string[];
}

export const noRefuser: Refuser = {
  table: null,
  column: null,
  constraint: null,
  function: null,
  frozenChunk: false,
  isPolicy: false,
  skippers: [],
};

/** Reads the names from an error; the message only serves to recognise a known error. */
export function readRefuser(error: pg.DatabaseError): Refuser {
  const chunk = /^_hyper_\d+_\d+_chunk$/.test(error.table ?? '');
  return {
    ...noRefuser,
    table: chunk ? 'positions' : (error.table ?? null),
    column: error.column ?? null,
    // TimescaleDB numbers a foreign key's copy in each chunk.
    constraint: error.constraint?.replace(chunk ? /^\d+_/ : /^$/, '') ?? null,
    function: functionIn(error.where),
    frozenChunk: error.code === '0A000' && /\b(frozen|tiered) chunk\b/.test(error.message),
    // Matches the C function that reports it, because the message depends on lc_messages.
    isPolicy: error.code === '42501' && error.routine === 'ExecWithCheckOptions',
  };
}

const word = '(?:"[^"]+"|[\\p{L}_][\\p{L}\\w$]*)';
const called = new RegExp(`(${word}(?:\\.${word})*)\\(`, 'u');

/** The innermost function of the error's context, e.g. `PL/pgSQL function f() line 3 at RAISE`. */
function functionIn(where: string | undefined): string | null {
  const line = where?.split('\n').find((text) => text.startsWith('PL/'));
  const name = line === undefined ? undefined : (called.exec(line) ?? /"([^"]+)"/.exec(line))?.[1];
  return name?.slice(0, 130) ?? null;
}

/** Names what refused the row, for a message; null if the server named nothing. */
export function nameRefuser(refuser: Refuser): string | null {
  const of = refuser.table === null ? '' : ` of ${refuser.table}`;
  if (refuser.function !== null) return `function ${refuser.function}`;
  if (refuser.isPolicy) return 'row-level security of positions';
  if (refuser.constraint !== null) return `constraint ${refuser.constraint}${of}`;
  if (refuser.column !== null) return `column ${refuser.column}${of}`;
  if (refuser.frozenChunk) return 'a frozen or tiered chunk';
  return refuser.skippers.length === 0 ? null : refuser.skippers.join(' or ');
}

/** SQLSTATEs undefined_table, undefined_function and undefined_object. */
const unresolvedNames: ReadonlySet<string> = new Set(['42P01', '42883', '42704']);

/** What to do if every row is refused; null if the code alone explains it. */
export function adviceForAll(code: string, refuser: Refuser): string | null {
  if (refuser.isPolicy) {
    return 'row-level security of positions admits no row: give the writing role a policy FOR INSERT that admits its rows, or BYPASSRLS';
  }
  const by = nameRefuser(refuser);
  if (code === '23502' && refuser.function === null && refuser.column !== null) {
    return `${by} is NOT NULL and processor does not fill it: give it a default, or drop NOT NULL or the column`;
  }
  if (refuser.skippers.length > 0) {
    return `${by} skips every row: repair or drop it; retention that drops the chunk written to does the same`;
  }
  if (refuser.function !== null && unresolvedNames.has(code)) {
    return `${by} uses a name that it does not qualify with a schema, and this service's search_path is pg_catalog, pg_temp: ALTER FUNCTION … SET search_path, or write the schema in the function`;
  }
  return by === null ? null : `${by} refuses every row: repair or drop it`;
}

/** The dead letter's reason for a row that was refused as a single row. */
export function writeReasonOf(code: string, refuser: Refuser): WriteReason {
  if (code === rowsVanished) return 'row_skipped';
  if (refuser.function !== null) return 'row_refused_by_trigger';
  if (refuser.isPolicy) return 'row_refused_by_policy';
  if (refuser.frozenChunk) return 'row_frozen_chunk';
  if (code.startsWith('22')) return 'row_value_invalid';
  if (code.startsWith('23')) return 'row_constraint_violated';
  if (code.startsWith('54')) return 'row_too_large';
  return 'row_unclassified';
}

/** The code of rows that the server neither stored nor refused. */
export const rowsVanished = 'ROWS_VANISHED';
