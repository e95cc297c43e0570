export interface SessionOptions {
  /** Time after which the server cancels a statement. */
  readonly statementTimeoutMs: number;
  /** How long the server waits for a lock. */
  readonly lockTimeoutMs: number;
}

/**
 * Settings on which the statements and the parsing of results depend. A role or a database may have
 * other values for other applications: with another DateStyle pg reads every time as null, with
 * fewer digits coordinates are rounded, under serializable an insert fails at random.
 */
const fixed: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  datestyle: 'ISO, MDY',
  timezone: 'UTC',
  intervalstyle: 'postgres',
  standard_conforming_strings: 'on',
  bytea_output: 'hex',
  extra_float_digits: '1',
  // If off, every statement on a table with row-level security fails, also for admitted rows.
  row_security: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  idle_in_transaction_session_timeout: '60s',
  idle_session_timeout: '0',
};

/**
 * Returns the statement that applies these settings to a session, or with `LOCAL` to a transaction in
 * a pooler's session. They are not start-up parameters, which a pooler would refuse.
 * default_transaction_read_only stays unchanged, because administrators use it to stop writes.
 */
export function sessionStatement(
  { statementTimeoutMs, lockTimeoutMs }: SessionOptions,
  scope: 'SESSION' | 'LOCAL' = 'SESSION',
): string {
  const all = {
    ...fixed,
    statement_timeout: String(statementTimeoutMs),
    lock_timeout: String(lockTimeoutMs),
  };
  const isLocal = String(scope === 'LOCAL');
  return [
    // First, so that unqualified names in the rest and in all statements are PostgreSQL's own.
    `SET ${scope} search_path = pg_catalog, pg_temp`,
    ...Object.entries(all).map(([name, value]) => `SET ${scope} ${name} = '${value}'`),
    // A commit must be durable before it returns; stricter settings stay unchanged.
    `SELECT pg_catalog.set_config('synchronous_commit', 'on', ${isLocal}) WHERE pg_catalog.current_setting('synchronous_commit') = 'off'`,
    // New in PostgreSQL 17.
    `SELECT pg_catalog.set_config('transaction_timeout', '0', ${isLocal}) WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL`,
  ].join('; ');
}
