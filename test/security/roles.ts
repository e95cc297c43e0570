import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { findProgram } from '../../tools/servers/programs.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../deploy/sql/roles.sql', import.meta.url));

/** What a test that needs it is skipped with. */
export const needsPsql = 'needs psql (Debian package postgresql-client)';

export function hasPsql(): boolean {
  return findProgram('psql') !== null;
}

export const roleNames = ['migrator', 'writer', 'reader', 'domain'] as const;
type RoleName = (typeof roleNames)[number];
type OfEach = Readonly<Record<RoleName, string>>;

export interface RolesDatabase {
  /** As the superuser of the suite. */
  readonly url: string;
  /** Names of the roles, ours alone: roles are the whole server's. */
  readonly roles: OfEach;
  readonly passwords: OfEach;
  readonly urls: OfEach;
  /** Runs deploy/sql/roles.sql. @throws with psql's words when it fails */
  apply(options?: ApplyOptions): Promise<void>;
  drop(): Promise<void>;
}

export interface ApplyOptions {
  /** Whose password files are named; all when absent. */
  readonly passwordsOf?: readonly RoleName[];
  readonly env?: Readonly<Record<string, string>>;
  /** Variables of psql. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** A fresh database, and the names and passwords of four roles that are not made yet. */
export async function rolesDatabase(): Promise<RolesDatabase> {
  const database: FreshDatabase = await freshDatabase();
  const dir = await mkdtemp(join(tmpdir(), 'processor-roles-'));
  const mark = randomBytes(6).toString('hex');
  const each = (value: (name: RoleName) => string): OfEach => ({
    migrator: value('migrator'),
    writer: value('writer'),
    reader: value('reader'),
    domain: value('domain'),
  });
  const roles = each((name) => `processor_test_${name}_${mark}`);
  // With what a shell, psql and a URL each would take for something else.
  const passwords = each((name) => `${name}'s "pass\\word" $HOME %2F@:/ ${mark}`);
  const files = each((name) => join(dir, name));
  for (const name of roleNames) await writeFile(files[name], `${passwords[name]}\n`);
  const urls = each((name) => {
    const url = new URL(database.url);
    url.username = roles[name];
    url.password = encodeURIComponent(passwords[name]);
    return url.href;
  });

  return {
    url: database.url,
    roles,
    passwords,
    urls,
    async apply({ passwordsOf = roleNames, env = {}, variables = {} } = {}) {
      const { PATH } = process.env;
      const given = passwordsOf.map((name) => [
        `PROCESSOR_${name.toUpperCase()}_PASSWORD_FILE`,
        files[name],
      ]);
      const named = { ...roles, ...variables };
      const names = Object.entries(named).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
      await run('psql', ['--no-psqlrc', '--quiet', ...names, '--file', script, database.url], {
        env: { PATH, ...Object.fromEntries(given), ...env },
        timeout: 30_000,
      });
    },
    async drop() {
      await database.drop();
      const server = new URL(database.url);
      server.pathname = '/postgres';
      for (const name of roleNames) await ask(server.href, `DROP ROLE IF EXISTS ${roles[name]}`);
      await rm(dir, { recursive: true });
    },
  };
}

/** Statements on one connection of their own; the rows of the last one. */
export async function ask<Row extends pg.QueryResultRow>(
  url: string,
  ...statements: readonly string[]
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, ssl: false });
  await client.connect();
  try {
    let rows: Row[] = [];
    for (const statement of statements) rows = (await client.query<Row>(statement)).rows;
    return rows;
  } finally {
    await client.end();
  }
}

/** The SQLSTATE that the last of the statements is refused with; 'done' when it is not. */
export async function outcomeOf(url: string, ...statements: readonly string[]): Promise<string> {
  try {
    await ask(url, ...statements);
    return 'done';
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code !== undefined) return error.code;
    throw error;
  }
}

/** A row, or the same again. */
export const row = `INSERT INTO public.positions
  (device_id, ts, altitude, angle, speed, satellites, priority, fix, codec, attributes)
  VALUES ('350000000000001', '2026-11-02T10:00:00Z', 0, 0, 0, 0, 0, false, '8', '{}')
  ON CONFLICT (device_id, ts) DO NOTHING`;

/** SQLSTATE of a permission that is missing. */
export const denied = '42501';
