/** What a test takes from the suite's servers, under names that no other test has. */
import { randomUUID } from 'node:crypto';
import { describe, inject, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { migrateOptions, migrations, silent } from '../db/migrate-options.ts';
import { databaseFrom, type FreshDatabase } from './database-from.ts';
import type {} from './global-setup.ts';

export type { FreshDatabase } from './database-from.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** What the machine lacks where the test is skipped; the summary tells it. */
    needs?: string;
  }
}

const needsTimescaledb = 'needs TimescaleDB (set TEST_DATABASE_URL or TEST_POSTGRES_BIN)';

export interface FreshStream {
  readonly key: string;
  readonly group: string;
}

export function redisUrl(): string {
  return inject('redisUrl');
}

/** The suite's PostgreSQL server; tables belong into a `freshDatabase`. */
export function databaseUrl(): string {
  return inject('databaseUrl');
}

export function hasTimescaledb(): boolean {
  return inject('timescaledb');
}

/** An empty database of UTF8 and locale C, without extensions, on the suite's server. */
export async function freshDatabase(): Promise<FreshDatabase> {
  // template0 has no connections that would be in the way, and no extension on any server.
  return await createDatabase('template0');
}

/**
 * A fresh database with every migration applied by the default options of the tests. A copy of what
 * the run migrated once, where a database can be copied.
 */
export async function freshMigrated(): Promise<FreshDatabase> {
  const template = inject('migratedTemplate');
  if (template !== null) return await createDatabase(template);
  const database = await freshDatabase();
  await migrate(migrations, migrateOptions(database.url), silent);
  return database;
}

async function createDatabase(template: string): Promise<FreshDatabase> {
  const name = `processor_test_${uniqueName()}`;
  return await databaseFrom(databaseUrl(), template, name);
}

export function freshStream(): FreshStream {
  const name = uniqueName();
  return { key: `test:stream:${name}`, group: `test-group-${name}` };
}

function uniqueName(): string {
  return randomUUID().replaceAll('-', '');
}

/** `describe` where the server offers TimescaleDB; elsewhere its tests are reported as skipped. */
export function describeTimescaledb(name: string, suite: () => void): void {
  describe.skipIf(!hasTimescaledb())(name, { meta: { needs: needsTimescaledb } }, suite);
}

/** `test` where the server offers TimescaleDB; elsewhere reported as skipped. */
export function testTimescaledb(name: string, run: () => Promise<void> | void): void {
  test.skipIf(!hasTimescaledb())(name, { meta: { needs: needsTimescaledb } }, run);
}
