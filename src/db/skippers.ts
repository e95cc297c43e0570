import type pg from 'pg';
import { type DatabaseFailure, readDatabaseFailure, toDependencyError } from './errors.ts';
import { noRefuser, rowsVanished } from './refuser.ts';

/** Selects what may skip a row: row triggers before an insert (tgtype bits 1, 2, 4) and rules. */
const skippersStatement = `
  SELECT 'trigger ' || tgname AS name FROM pg_catalog.pg_trigger
   WHERE tgrelid = 'public.positions'::regclass AND tgtype & 7 = 7 AND NOT tgisinternal
     AND tgname <> 'ts_insert_blocker'
  UNION ALL
  SELECT 'rule ' || rulename FROM pg_catalog.pg_rewrite WHERE ev_class = 'public.positions'::regclass
  ORDER BY 1 LIMIT 5`;

/**
 * Returns the failure of rows that the database accepts but does not store, with what may skip them.
 * @throws DependencyError if the database is not available
 */
export async function readSkipFailure(client: pg.ClientBase): Promise<DatabaseFailure> {
  try {
    const { rows } = await client.query<{ name: string }>(skippersStatement);
    const names = rows.map(({ name }) => name);
    const skippers = names.length > 0 ? names : ['a policy that hides rows'];
    const refuser = { ...noRefuser, skippers };
    return { class: 'row', mayBeRow: true, code: rowsVanished, refuser };
  } catch (error) {
    throw toDependencyError(readDatabaseFailure(error), error);
  }
}
