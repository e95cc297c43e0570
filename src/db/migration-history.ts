import type pg from 'pg';
import { MigrationError } from './migration-error.ts';

export interface Migration {
  /** From the file's name: 1 for `0001_positions.sql`. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, hex: an applied file must never change. */
  readonly checksum: string;
  /** Checksums of earlier content with the same result, from the file's lines `-- formerly <checksum>`. */
  readonly formerChecksums: readonly string[];
}

/** State of a migration of this version or of the database. */
export type MigrationState =
  | { readonly state: 'applied'; readonly migration: Migration; readonly appliedAt: Date }
  | { readonly state: 'pending'; readonly migration: Migration }
  /** Applied with content that differs from this version's file. */
  | {
      readonly state: 'changed';
      readonly migration: Migration;
      readonly appliedAt: Date;
      readonly appliedChecksum: string;
    }
  /** Applied by a newer version. */
  | {
      readonly state: 'unknown';
      readonly version: number;
      readonly name: string;
      readonly appliedAt: Date;
      readonly appliedChecksum: string;
    };

export const createHistory = `CREATE TABLE IF NOT EXISTS public.processor_migrations (
  version    integer     PRIMARY KEY,
  name       text        NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)`;

interface AppliedRow {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
  /** Epoch milliseconds: as text it would depend on DateStyle. */
  readonly applied_at_ms: number;
}

/** Reads all migrations of this version and of the database, by number; changes nothing. */
export async function readHistory(
  client: pg.ClientBase,
  migrations: readonly Migration[],
): Promise<MigrationState[]> {
  const rows = await readApplied(client);
  const states = migrations.map((migration): MigrationState => {
    const row = rows.find(({ version }) => version === migration.version);
    if (row === undefined) return { state: 'pending', migration };
    const appliedAt = new Date(row.applied_at_ms);
    const known = [migration.checksum, ...migration.formerChecksums];
    if (known.includes(row.checksum)) return { state: 'applied', migration, appliedAt };
    return { state: 'changed', migration, appliedAt, appliedChecksum: row.checksum };
  });
  const unknown = rows
    .filter(({ version }) => !migrations.some((migration) => migration.version === version))
    .map(({ version, name, checksum, applied_at_ms: appliedMs }): MigrationState => {
      const appliedAt = new Date(appliedMs);
      return { state: 'unknown', version, name, appliedAt, appliedChecksum: checksum };
    });
  return [...states, ...unknown];
}

async function readApplied(client: pg.ClientBase): Promise<AppliedRow[]> {
  const found = await client.query<{ there: boolean }>(
    "SELECT to_regclass('public.processor_migrations') IS NOT NULL AS there",
  );
  if (found.rows[0]?.there !== true) return [];
  const { rows } = await client.query<AppliedRow>(
    `SELECT version, name, checksum, (extract(epoch FROM applied_at) * 1000)::float8 AS applied_at_ms
       FROM public.processor_migrations ORDER BY version`,
  );
  return rows;
}

/** Returns the migrations to apply, oldest first. @throws MigrationError if none may be applied */
export function pendingOf(history: readonly MigrationState[]): Migration[] {
  for (const entry of history) {
    if (entry.state === 'unknown') {
      throw new MigrationError(
        'unknown_newer_version',
        `the database has migration ${entry.name}, which this version does not know: deploy the newer version, or run its down migration (docs/migrations.md)`,
      );
    }
    if (entry.state === 'changed') {
      throw new MigrationError(
        'checksum_changed',
        `migration ${entry.migration.name} was applied with other content: restore the file as it was released and add a new one for changes`,
      );
    }
  }
  return history.flatMap((entry) => (entry.state === 'pending' ? [entry.migration] : []));
}

/** Checks that no migration is pending. @throws MigrationError that names the pending ones */
export function checkNonePending(history: readonly MigrationState[]): void {
  const pending = pendingOf(history);
  if (pending.length === 0) return;
  const names = pending.map(({ name }) => name).join(', ');
  throw new MigrationError('pending', `not applied: ${names}; run 'processor migrate up'`);
}
