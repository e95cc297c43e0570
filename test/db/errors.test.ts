import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { DependencyError } from '../../src/core/types.ts';
import { asDependencyError, readDatabaseFailure } from '../../src/db/errors.ts';
import { noRefuser, writeReasonOf } from '../../src/db/refuser.ts';
import { type DatabaseErrorClass, meaningOf } from '../../src/db/sqlstates.ts';

function databaseError(code: string): pg.DatabaseError {
  const error = new pg.DatabaseError('refused', 100, 'error');
  error.code = code;
  error.detail = 'Failing row contains (350000000000001, 54.7, 25.3)';
  return error;
}

describe('a SQLSTATE', () => {
  test.each<[string, string, DatabaseErrorClass]>([
    ['08006', 'connection failure', 'unavailable'],
    ['25006', 'read-only transaction, in a failover', 'unavailable'],
    ['26000', 'prepared statement gone, behind a pooler', 'unavailable'],
    ['40001', 'serialization failure', 'unavailable'],
    ['40P01', 'deadlock', 'unavailable'],
    ['53100', 'disk full', 'unavailable'],
    ['53300', 'too many connections', 'unavailable'],
    ['55P03', 'lock not available', 'unavailable'],
    ['57014', 'statement timeout', 'unavailable'],
    ['57P01', 'shutdown', 'unavailable'],
    ['57P03', 'starting up', 'unavailable'],
    ['58030', 'I/O error', 'unavailable'],
    ['0A000', 'feature not supported', 'configuration'],
    ['28P01', 'wrong password', 'configuration'],
    ['3D000', 'no such database', 'configuration'],
    ['3F000', 'no such schema', 'configuration'],
    ['42501', 'no permission', 'configuration'],
    ['42703', 'no such column', 'configuration'],
    ['42P01', 'no such table', 'configuration'],
    ['F0000', 'configuration file error', 'configuration'],
    ['22003', 'number out of range', 'row'],
    ['22021', 'not in the character set', 'row'],
    ['22P02', 'invalid text', 'row'],
    ['23502', 'not null', 'row'],
    ['23505', 'unique', 'row'],
    ['23514', 'check', 'row'],
    ['54000', 'program limit', 'row'],
    ['P0001', 'raised by a trigger', 'row'],
    ['53200', 'out of shared memory', 'batch'],
    ['53400', 'configured limit of one statement', 'batch'],
    ['XX000', 'internal error', 'batch'],
    ['ZZ999', 'never heard of', 'row'],
  ])('%s (%s) is %s', (sqlstate, _name, expected) => {
    expect(meaningOf(sqlstate).class).toBe(expected);
  });

  test.each([
    ['0A000', 'a frozen chunk'],
    ['42501', 'row-level security'],
    ['428C9', 'a generated column'],
    ['22012', 'a generated column'],
    ['23P01', 'an exclusion constraint'],
    ['44000', 'WITH CHECK OPTION'],
    ['53400', 'the size of the statement'],
    ['54000', 'an index entry'],
    ['P0001', 'a trigger'],
    ['ZZ999', 'never heard of'],
  ])('%s (%s) may be caused by a row', (sqlstate) => {
    expect(meaningOf(sqlstate).mayBeRow).toBe(true);
  });

  test.each(['08006', '25006', '28P01', '40001', '42P01', '42703', '53100', '55P03', '57014'])(
    '%s is never caused by a row',
    (sqlstate) => {
      expect(meaningOf(sqlstate).mayBeRow).toBe(false);
    },
  );

  test.each([
    ['22003', 'row_value_invalid'],
    ['23514', 'row_constraint_violated'],
    ['54000', 'row_too_large'],
    ['P0001', 'row_unclassified'],
  ])('%s of a single row is the reason %s', (sqlstate, reason) => {
    expect(writeReasonOf(sqlstate, noRefuser)).toBe(reason);
  });
});

describe('what pg throws', () => {
  test.each([
    [Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    [Object.assign(new Error('reset'), { code: 'ECONNRESET' }), 'ECONNRESET'],
    [new Error('Query read timeout'), 'CONNECTION'],
    [new Error('timeout exceeded when trying to connect'), 'CONNECTION'],
  ])('%s, no answer of the server, means it could not be asked', (error, code) => {
    expect(readDatabaseFailure(error)).toEqual({
      class: 'unavailable',
      mayBeRow: false,
      code,
      refuser: noRefuser,
    });
  });

  test.each([
    ['42P01', 'PL/pgSQL function audit() line 3 at SQL statement', true, 'audit'],
    [
      '42501',
      'SQL statement "SELECT 1"\nPL/pgSQL function a.b(text) line 1 at PERFORM',
      true,
      'a.b',
    ],
    ['P0001', 'PL/pgSQL-Funktion "Größe"() Zeile 4 bei RAISE', true, '"Größe"'],
    ['P0001', 'PL/Python function "check_all"', true, 'check_all'],
    ['40001', 'PL/pgSQL function retry_later() line 1 at RAISE', false, 'retry_later'],
    ['42P01', 'unnamed portal parameter $1', false, null],
  ])('%s in the context "%s" may be the row\'s: %s', (code, where, mayBeRow, name) => {
    const failure = readDatabaseFailure(Object.assign(databaseError(code), { where }));

    expect(failure.mayBeRow).toBe(mayBeRow);
    expect(failure.refuser.function).toBe(name);
  });

  test('names of a chunk are reported as those of the table', () => {
    const error = Object.assign(databaseError('23503'), {
      table: '_hyper_1_12_chunk',
      constraint: '12_known_device',
    });

    expect(readDatabaseFailure(error).refuser).toMatchObject({
      table: 'positions',
      constraint: 'known_device',
    });
  });

  test.each([new TypeError('bug'), new RangeError('bug'), 'bug', undefined])(
    'a programming error (%s) is thrown on',
    (error) => {
      const read = () => {
        try {
          readDatabaseFailure(error);
        } catch (thrown) {
          return thrown === error;
        }
        return false;
      };
      expect(read()).toBe(true);
    },
  );

  test.each([
    ['28P01', 'configuration', 'POSTGRES_PASSWORD'],
    ['42P01', 'configuration', 'migrations'],
    ['53100', 'unavailable', 'disk'],
    ['42804', 'configuration', 'database log'],
    ['57P01', 'unavailable', 'not available at the moment'],
  ])('%s becomes an error of the kind %s with advice', (code, kind, advice) => {
    const cause = databaseError(code);
    const error = asDependencyError(cause);

    expect(error).toBeInstanceOf(DependencyError);
    expect(error).toMatchObject({ dependency: 'database', kind, code, cause });
    expect(error.message).toContain(advice);
    expect(error.message).not.toContain('350000000000001');
  });

  test('an error that is one already stays the same', () => {
    const error = new DependencyError('database', 'unavailable', 'X', 'x');

    expect(asDependencyError(error)).toBe(error);
  });
});
