import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { DependencyError, type Logger } from '../core/types.ts';
import { readDatabaseFailure, toDependencyError } from './errors.ts';
import { MigrationError } from './migration-error.ts';
import { applyStorage, describeStorage, type Storage, type StorageOptions } from './storage.ts';

export interface Migration {
  /** From the file's name: 1 for `0001_positions.sql`. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, hex: an applied file must never change. */
  readonly checksum: string;
}

export interface MigrateOptions extends StorageOptions {
  /** Direct URL: behind a transaction pooler this one should bypass it. */
  readonly url: string;
  readonly connectTimeoutMs: number;
  /** How long one attempt waits for a lock before it backs off. */
  readonly lockTimeoutMs: number;
  /** How long all attempts together wait for another instance's migration. */
  readonly migrationLockTimeoutMs: number;
  /** `auto` applies what is pending; `verify` refuses to start without it; `off` looks at nothing. */
  readonly mode: 'auto' | 'verify' | 'off';
}

export interface MigrationResult {
  readonly applied: readonly string[];
  readonly version: number;
  readonly storage: Storage;
}

/** Two-part advisory lock key, so that no other application's single key can meet it. */
const lockKey = [0x70726f63, 1] as const; // 'proc', migrations

/** @param directory a folder of `NNNN_name.sql` files; @throws when a name or number is off. */
export async function readMigrations(directory: URL): Promise<Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).sort();
  const migrations = await Promise.all(
    files.map(async (file): Promise<Migration> => {
      const sql = await readFile(new URL(file, directory), 'utf8');
      const checksum = createHash('sha256').update(sql).digest('hex');
      return { version: Number.parseInt(file, 10), name: file, sql, checksum };
    }),
  );
  migrations.forEach((migration, index) => {
    if (migration.version !== index + 1) {
      throw new RangeError(
        `migrations must be numbered 0001, 0002 …: ${migration.name} is out of line`,
      );
    }
  });
  return migrations;
}

/**
 * Brings the schema up to date and the table to its configured storage, in one transaction
 * under an advisory lock: of several instances that start together one migrates, the others
 * wait and find nothing to do. The lock is transaction-scoped, so a pooler in transaction
 * mode cannot lose it, and it goes with the connection when the instance dies.
 * @throws MigrationError, or DependencyError when the database cannot be asked
 */
export async function migrate(
  migrations: readonly Migration[],
  options: MigrateOptions,
  log: Logger,
): Promise<MigrationResult> {
  const giveUpAt = Date.now() + options.migrationLockTimeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await migrateOnce(migrations, options, log);
    } catch (error) {
      if (!isLockTimeout(error)) {
        throw error instanceof MigrationError ? error : migrationFailure(error);
      }
      if (Date.now() >= giveUpAt) {
        throw new MigrationError(
          'lock_timeout',
          `another migration has held the lock for ${options.migrationLockTimeoutMs} ms: see pg_locks for locktype advisory, or raise MIGRATION_LOCK_TIMEOUT_MS`,
          { cause: error },
        );
      }
      log.info({ attempt }, 'waiting for the migration lock');
      await setTimeout(100 + Math.random() * 400);
    }
  }
}

/** A statement that the data refuses will be refused again: that is not retried. */
function migrationFailure(error: unknown): MigrationError | DependencyError {
  if (error instanceof DependencyError) return error;
  const failure = readDatabaseFailure(error);
  if (failure.class === 'unavailable' || failure.class === 'configuration') {
    return toDependencyError(failure, error);
  }
  const message = `a migration failed with ${failure.code} and was rolled back: see the cause`;
  return new MigrationError('failed', message, { cause: error });
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '55P03';
}

async function migrateOnce(
  migrations: readonly Migration[],
  options: MigrateOptions,
  log: Logger,
): Promise<MigrationResult> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: 'processor-migrate',
    connectionTimeoutMillis: options.connectTimeoutMs,
    keepAlive: true,
  });
  client.on('error', (error) => log.debug({ err: error }, 'migration connection ended'));
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query(`SET LOCAL lock_timeout = ${options.lockTimeoutMs}`);
    await client.query('SELECT pg_advisory_xact_lock($1, $2)', [...lockKey]);
    const applied =
      options.mode === 'off' ? [] : await applyPending(client, migrations, options.mode);
    if (options.mode === 'auto') await applyStorage(client, options);
    const storage = await describeStorage(client, options);
    await client.query('COMMIT');
    return { applied, version: migrations.length, storage };
  } finally {
    // Ending the connection rolls back what was not committed.
    await client.end();
  }
}

interface AppliedRow {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
}

async function applyPending(
  client: pg.Client,
  migrations: readonly Migration[],
  mode: MigrateOptions['mode'],
): Promise<string[]> {
  const rows = await readApplied(client, mode);
  checkApplied(rows, migrations);
  const pending = migrations.slice(rows.length);
  if (pending.length > 0 && mode !== 'auto') {
    const names = pending.map((migration) => migration.name).join(', ');
    throw new MigrationError('pending', `not applied: ${names}; run 'processor migrate up'`);
  }
  for (const { version, name, sql, checksum } of pending) {
    await client.query(sql);
    await client.query(
      'INSERT INTO processor_migrations (version, name, checksum) VALUES ($1, $2, $3)',
      [version, name, checksum],
    );
  }
  return pending.map((migration) => migration.name);
}

async function readApplied(client: pg.Client, mode: MigrateOptions['mode']): Promise<AppliedRow[]> {
  if (mode === 'auto') {
    await client.query(`CREATE TABLE IF NOT EXISTS processor_migrations (
      version    integer     PRIMARY KEY,
      name       text        NOT NULL,
      checksum   text        NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now()
    )`);
  } else {
    const found = await client.query(
      "SELECT to_regclass('processor_migrations') IS NOT NULL AS there",
    );
    if (found.rows[0]?.there !== true) return [];
  }
  const { rows } = await client.query<AppliedRow>(
    'SELECT version, name, checksum FROM processor_migrations ORDER BY version',
  );
  return rows;
}

function checkApplied(rows: readonly AppliedRow[], migrations: readonly Migration[]): void {
  rows.forEach((row, index) => {
    const known = migrations[index];
    if (known === undefined) {
      throw new MigrationError(
        'unknown_newer_version',
        `the database has migration ${row.name}, this version knows ${migrations.length}: deploy the newer version, or restore the older schema`,
      );
    }
    if (row.version !== known.version || row.checksum !== known.checksum) {
      throw new MigrationError(
        'checksum_changed',
        `migration ${known.name} was applied with other content: restore the file as it was released and add a new one for changes`,
      );
    }
  });
}
