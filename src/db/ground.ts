import type pg from 'pg';
import { DependencyError } from '../core/types.ts';

/** Whether the server accepts writes. */
export type WriteState = 'primary' | 'standby' | 'read-only';

export async function readWriteState(client: pg.ClientBase): Promise<WriteState> {
  const { rows } = await client.query<{ standby: boolean; readonly: string }>(
    `SELECT pg_catalog.pg_is_in_recovery() AS standby,
            pg_catalog.current_setting('transaction_read_only') AS readonly`,
  );
  if (rows[0]?.standby !== false) return 'standby';
  return rows[0].readonly === 'off' ? 'primary' : 'read-only';
}

/** Code and advice for the operator; null for a server that accepts writes. */
export function writeFault(
  state: WriteState,
): { readonly code: string; readonly advice: string } | null {
  if (state === 'standby') {
    const advice =
      'this is a standby, which accepts no writes: name the primary in POSTGRES_URL, or promote it';
    return { code: 'STANDBY', advice };
  }
  if (state === 'read-only') {
    const advice =
      'transactions are read-only: ALTER DATABASE or ALTER ROLE … RESET default_transaction_read_only';
    return { code: 'READ_ONLY', advice };
  }
  return null;
}

/**
 * Checks each new connection, because one SQLSTATE 25006 may be a failover that ends without action.
 * @throws DependencyError if the server accepts no writes
 */
export async function refuseReadOnly(client: pg.ClientBase): Promise<void> {
  const fault = writeFault(await readWriteState(client));
  if (fault === null) return;
  throw new DependencyError('database', 'configuration', fault.code, `database: ${fault.advice}`);
}
