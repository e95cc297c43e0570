import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { backoffMs } from '../core/backoff.ts';
import { DependencyError, type Logger } from '../core/types.ts';
import {
  applyDomainTrigger,
  type DomainSwitch,
  emptyDomain,
  hasDomainTrigger,
} from './domain-switch.ts';
import { readDatabaseFailure, toDependencyError } from './errors.ts';
import { inOwnSchema } from './first-migration.ts';
import { refuseReadOnly } from './ground.ts';
import { type ClientOptions, sessionOf, withClient } from './migration-client.ts';
import { MigrationError } from './migration-error.ts';
import {
  checkNonePending,
  createHistory,
  type Migration,
  pendingOf,
  readHistory,
} from './migration-history.ts';
import {
  applyPolicies,
  describePolicies,
  type Policies,
  type PolicyOptions,
  type PolicyRefusal,
} from './policies.ts';
import { sessionStatement } from './session.ts';
import {
  applyStorage,
  checkLoaded,
  describeStorage,
  preloadAdvice,
  type Storage,
  type StorageOptions,
} from './storage.ts';

export { withClient } from './migration-client.ts';
export type { Migration } from './migration-history.ts';

export interface MigrateOptions extends StorageOptions, PolicyOptions, ClientOptions {
  /** How long all attempts together wait for another migration or for a table lock. */
  readonly migrationLockTimeoutMs: number;
  /** `auto` applies pending migrations; `verify` refuses to start with any; `off` checks nothing. */
  readonly mode: 'auto' | 'verify' | 'off';
  readonly domain: DomainSwitch;
}

export interface MigrationResult {
  readonly applied: readonly string[];
  readonly version: number;
  readonly storage: Storage;
  readonly policies: Policies;
  /** Configured policies that this server does not support; logged once. */
  readonly refusals: readonly PolicyRefusal[];
  /** Whether inserted rows reach the outbox of the domain. */
  readonly domain: boolean;
}

/** Two-part advisory lock key, so that it differs from every single-part key of other applications. */
const lockKey = [0x70726f63, 1] as const; // 'proc', migrations

const formerly = /^-- formerly ([0-9a-f]{64})$/gm;

/** Reads a folder of `NNNN_name.sql` files. @throws RangeError if the numbers are not consecutive */
export async function readMigrations(directory: URL): Promise<Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).sort();
  const migrations = await Promise.all(
    files.map(async (file): Promise<Migration> => {
      const sql = await readFile(new URL(file, directory), 'utf8');
      const checksum = createHash('sha256').update(sql).digest('hex');
      const formerChecksums = [...sql.matchAll(formerly)].map(([, former = '']) => former);
      return { version: Number.parseInt(file, 10), name: file, sql, checksum, formerChecksums };
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

/** Pauses between attempts to get a lock that another session holds. */
const lockBackoff = { minMs: 100, maxMs: 500 };

/**
 * Applies pending migrations, then the configured storage, policies and trigger of the domain. Each migration runs in its
 * own transaction, and so do storage and policies, so that a lock lasts only for its step. Each takes
 * the same advisory lock first: of several instances that start together one does the step, and the
 * others wait and find it done. The lock belongs to the transaction, so a pooler in transaction mode
 * cannot lose it, and it ends with the connection if the instance dies.
 * @throws MigrationError, or DependencyError if the database is not available
 */
export async function migrate(
  migrations: readonly Migration[],
  options: MigrateOptions,
  log: Logger,
): Promise<MigrationResult> {
  const steps: MigrationSteps = { migrations, options, applied: [] };
  const giveUpAt = Date.now() + options.migrationLockTimeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const result = await withClient(options, log, (client) => takeSteps(client, steps));
      logResult(result, log);
      return result;
    } catch (error) {
      if (!(error instanceof LockTimeout)) {
        throw error instanceof MigrationError ? error : migrationFailure(error);
      }
      if (Date.now() >= giveUpAt) throw lockFailure(error, options.migrationLockTimeoutMs);
      log.info({ attempt, lock: error.lock }, 'waiting for a lock to migrate');
      await setTimeout(backoffMs(attempt, lockBackoff));
    }
  }
}

/** A lock was not acquired in time: of another migration, or of a table in use. */
class LockTimeout extends Error {
  override readonly name = 'LockTimeout';
  readonly lock: 'migration' | 'table';
  constructor(lock: 'migration' | 'table', cause: unknown) {
    super(`the ${lock} lock was not acquired in time`, { cause });
    this.lock = lock;
  }
}

function lockFailure(error: LockTimeout, waitedMs: number): MigrationError {
  const message =
    error.lock === 'migration'
      ? `another migration has held the lock for ${waitedMs} ms: see pg_locks for locktype advisory, or raise MIGRATION_LOCK_TIMEOUT_MS`
      : `a table was in use for ${waitedMs} ms: end the long transaction (see pg_stat_activity), or raise MIGRATION_LOCK_TIMEOUT_MS`;
  return new MigrationError('lock_timeout', message, { cause: error });
}

/** The error of a failed migration. A statement that fails on the data fails again, so no retry. */
function migrationFailure(error: unknown): MigrationError | DependencyError {
  if (error instanceof DependencyError) return error;
  const failure = readDatabaseFailure(error);
  if (failure.class === 'unavailable' || failure.class === 'configuration') {
    return toDependencyError(failure, error);
  }
  const message = `a migration failed with ${failure.code} and was rolled back: see the cause`;
  return new MigrationError('failed', message, { cause: error });
}

function logResult({ policies, refusals, storage, domain }: MigrationResult, log: Logger): void {
  const fields = {
    edition: policies.edition,
    columnstore_after_ms: policies.columnstoreAfterMs,
    compressed_chunks: policies.compressedChunks,
    retention_ms: policies.retentionMs,
    aggregates: policies.aggregates,
    domain,
  };
  log.info(fields, 'effective policies');
  if (storage.kind === 'plain table' && storage.isOffered) {
    log.warn({ advice: preloadAdvice }, 'positions is a plain table: TimescaleDB is not loaded');
  }
  if (refusals.length > 0) log.warn({ refusals }, 'the server does not carry out some policies');
}

interface MigrationSteps {
  readonly migrations: readonly Migration[];
  readonly options: MigrateOptions;
  /** Names, over all attempts. */
  readonly applied: string[];
}

async function takeSteps(
  client: pg.Client,
  { migrations, options, applied }: MigrationSteps,
): Promise<MigrationResult> {
  const { mode } = options;
  await refuseReadOnly(client);
  await checkLoaded(client);
  let refusals: readonly PolicyRefusal[] = [];
  if (mode === 'auto') {
    while (await locked(client, options, () => applyNext(client, migrations, options, applied)));
    refusals = await locked(client, options, async () => {
      await applyStorage(client, options);
      await applyDomainTrigger(client, options.domain);
      return await applyPolicies(client, options);
    });
    await locked(client, options, () => emptyDomain(client, options.domain));
  } else if (mode === 'verify') {
    // Under the lock, so that a migration that another instance is applying does not count as pending.
    await locked(client, options, async () =>
      checkNonePending(await readHistory(client, migrations)),
    );
  }
  const storage = await describeStorage(client, options);
  const policies = await describePolicies(client);
  const domain = await hasDomainTrigger(client);
  return { applied, version: migrations.length, storage, policies, refusals, domain };
}

/**
 * How long to wait for a table lock at a time: every later lock request, for example of a writer,
 * queues behind this one.
 */
const tableLockTimeoutMs = 1000;

/** Runs `work` in one transaction under the migration lock. @throws LockTimeout */
async function locked<Result>(
  client: pg.Client,
  options: MigrateOptions,
  work: () => Promise<Result>,
): Promise<Result> {
  let lock: 'migration' | 'table' = 'migration';
  try {
    // Repeated, because behind a pooler this may be another session than at the connection's start.
    const settings = sessionStatement(sessionOf(options), 'LOCAL');
    await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED; ${settings}`);
    await client.query('SELECT pg_advisory_xact_lock($1, $2)', [...lockKey]);
    lock = 'table';
    await client.query(
      `SET LOCAL lock_timeout = ${Math.min(options.lockTimeoutMs, tableLockTimeoutMs)}`,
    );
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '55P03') {
      throw new LockTimeout(lock, error);
    }
    throw error;
  }
}

/**
 * Applies the oldest pending migration. After the first one it also applies the storage, while the
 * table is empty and has no trigger: some TimescaleDB versions cannot convert a table whose triggers
 * have transition tables (timescaledb#6901).
 * @returns whether a migration was pending
 */
async function applyNext(
  client: pg.Client,
  migrations: readonly Migration[],
  options: MigrateOptions,
  applied: string[],
): Promise<boolean> {
  await client.query(createHistory);
  const [next] = pendingOf(await readHistory(client, migrations));
  if (next === undefined) return false;
  const { version, name, sql, checksum } = next;
  await client.query(version === 1 ? inOwnSchema(sql) : sql);
  await client.query(
    'INSERT INTO public.processor_migrations (version, name, checksum) VALUES ($1, $2, $3)',
    [version, name, checksum],
  );
  if (version === 1) await applyStorage(client, options);
  applied.push(name);
  return true;
}
