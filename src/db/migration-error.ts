const migrationErrorCodes = [
  'checksum_changed',
  'unknown_newer_version',
  'pending',
  'failed',
  'lock_timeout',
  'timescaledb_missing',
  'timescaledb_not_loaded',
  'timescaledb_too_old',
  'plain_table_has_rows',
] as const;
export type MigrationErrorCode = (typeof migrationErrorCodes)[number];

/** The schema does not match this version of the service; the operator must decide. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
  readonly code: MigrationErrorCode;
  constructor(code: MigrationErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}
