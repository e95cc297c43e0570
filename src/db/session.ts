export interface SessionOptions {
  /** The server ends a statement after this. */
  readonly statementTimeoutMs: number;
  /** The server gives up waiting for a lock after this. */
  readonly lockTimeoutMs: number;
}

/**
 * What the statements and the way their answers are read depend on. A role or a database may set
 * each of them for other applications: with another DateStyle pg reads every time as null, with
 * fewer digits coordinates come rounded, under serializable an insert fails at random.
 */
const fixed: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  datestyle: 'ISO, MDY',
  timezone: 'UTC',
  intervalstyle: 'postgres',
  standard_conforming_strings: 'on',
  bytea_output: 'hex',
  extra_float_digits: '1',
  // Off, every statement on a table with row-level security fails, also for rows it lets pass.
  row_security: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  idle_in_transaction_session_timeout: '60s',
  idle_session_timeout: '0',
};

/**
 * The statement that gives a session these settings; in a transaction pooler's session `LOCAL`
 * repeats them for one transaction. They are not start-up parameters, which a pooler would refuse.
 * default_transaction_read_only is left alone: it is how an administrator stops writes.
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
    // First: the names in what follows, and in all statements, are PostgreSQL's own or qualified.
    `SET ${scope} search_path = pg_catalog, pg_temp`,
    ...Object.entries(all).map(([name, value]) => `SET ${scope} ${name} = '${value}'`),
    // Acknowledged only once it is durable; what waits for more than the disk stays as it is.
    `SELECT pg_catalog.set_config('synchronous_commit', 'on', ${isLocal}) WHERE pg_catalog.current_setting('synchronous_commit') = 'off'`,
    // New in PostgreSQL 17.
    `SELECT pg_catalog.set_config('transaction_timeout', '0', ${isLocal}) WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL`,
  ].join('; ');
}
