/** What a test takes from the suite's servers, under names that no other test has. */
import { randomUUID } from 'node:crypto';
import { describe, inject, test } from 'vitest';
import { askPostgres } from '../../tools/servers/ask.ts';
import type {} from './global-setup.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** What the machine lacks where the test is skipped; the summary tells it. */
    needs?: string;
  }
}

const needsTimescaledb = 'needs TimescaleDB (set TEST_DATABASE_URL or TEST_POSTGRES_BIN)';

export interface FreshDatabase {
  readonly url: string;
  /** Also disconnects whoever is connected. Safe twice. */
  drop(): Promise<void>;
}

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
  const server = databaseUrl();
  const name = `processor_test_${uniqueName()}`;
  // template0 has no connections that would be in the way, and no extension on any server.
  await askPostgres(
    server,
    `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
  );
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    async drop() {
      await askPostgres(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
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
