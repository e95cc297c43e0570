import type { Logger } from '../../src/core/types.ts';
import { type MigrateOptions, readMigrations } from '../../src/db/migrator.ts';

export const dayMs = 86_400_000;

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export function migrateOptions(
  url: string,
  change: Partial<Omit<MigrateOptions, 'url'>> = {},
): MigrateOptions {
  return {
    url,
    tls: null,
    connectTimeoutMs: 5000,
    lockTimeoutMs: 2000,
    migrationLockTimeoutMs: 20_000,
    mode: 'auto',
    timescaledb: 'optional',
    chunkIntervalMs: dayMs,
    columnstoreAfterMs: null,
    retentionMs: null,
    aggregates: false,
    domain: { enabled: false, recomputeHorizonMs: 30 * dayMs },
    ...change,
  };
}

export const migrations = await readMigrations(new URL('../../migrations/', import.meta.url));
