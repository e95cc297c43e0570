import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { findProgram } from '../tools/servers/programs.ts';
import type { ShapeType } from './collections.ts';
import { Unavailable } from './unavailable.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const roles = ['migrator', 'writer', 'reader', 'domain'] as const;
type Role = (typeof roles)[number];

/** URLs of one database, as its superuser and as each role. */
export interface Urls extends Readonly<Record<Role, string>> {
  readonly superuser: string;
  readonly directus: string;
}

const NAME = 'telemetry';
const psqlOptions = ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1'] as const;

/**
 * A database as an operator makes it: the roles of deploy/sql/roles.sql, and one for Directus, which
 * owns what Directus creates and may create tables in public.
 */
export async function makeDatabase(serverUrl: string): Promise<Urls> {
  if (findProgram('psql') === null) {
    throw new Unavailable("psql is missing (Debian's postgresql-client)");
  }
  await ask(serverUrl, `CREATE DATABASE ${NAME}`);
  const superuser = urlFor(serverUrl, null);
  const passwords = new Map(roles.map((role) => [role, secret()]));
  const dir = await mkdtemp(join(tmpdir(), 'processor-directus-'));
  try {
    const env: Record<string, string> = {};
    for (const [role, password] of passwords) {
      const file = join(dir, role);
      await writeFile(file, password, { mode: 0o600 });
      env[`PROCESSOR_${role.toUpperCase()}_PASSWORD_FILE`] = file;
    }
    await runSql(superuser, 'deploy/sql/roles.sql', env);
  } finally {
    await rm(dir, { recursive: true });
  }
  if (await offersPostgis(superuser))
    await ask(superuser, 'CREATE EXTENSION postgis SCHEMA public');
  // As PostGIS makes it: Directus must not list it either.
  else await ask(superuser, 'CREATE TABLE public.spatial_ref_sys (srid integer PRIMARY KEY)');
  const directus = secret();
  await ask(superuser, `CREATE ROLE directus LOGIN PASSWORD '${directus}'`);
  await ask(superuser, 'GRANT USAGE, CREATE ON SCHEMA public TO directus');
  await ask(superuser, 'CREATE SCHEMA IF NOT EXISTS processor_contract AUTHORIZATION directus');
  const loginOf = (role: Role) => ({
    user: `processor_${role}`,
    password: passwords.get(role) ?? '',
  });
  return {
    superuser,
    directus: urlFor(serverUrl, { user: 'directus', password: directus }),
    migrator: urlFor(serverUrl, loginOf('migrator')),
    writer: urlFor(serverUrl, loginOf('writer')),
    reader: urlFor(serverUrl, loginOf('reader')),
    domain: urlFor(serverUrl, loginOf('domain')),
  };
}

function secret(): string {
  return randomBytes(16).toString('hex');
}

function urlFor(
  serverUrl: string,
  login: { readonly user: string; readonly password: string } | null,
): string {
  const url = new URL(serverUrl);
  url.pathname = `/${NAME}`;
  if (login !== null) {
    url.username = login.user;
    url.password = login.password;
  }
  return url.href;
}

/** Whether the server has PostGIS, which makes Directus' type geometry possible. */
export async function offersPostgis(url: string): Promise<boolean> {
  const rows = await ask(url, "SELECT FROM pg_available_extensions WHERE name = 'postgis'");
  return rows.length > 0;
}

/**
 * Creates what the domain reads, as the role of Directus. Where shapes are geometries, the view turns
 * them into GeoJSON, as the file says.
 */
export async function applyContract(url: string, shape: ShapeType): Promise<void> {
  const path = 'deploy/sql/directus/contract-fleet.sql';
  if (shape === 'json') return await runSql(url, path);
  const text = await readFile(join(root, path), 'utf8');
  const dir = await mkdtemp(join(tmpdir(), 'processor-directus-'));
  try {
    const adapted = join(dir, 'contract.sql');
    const geoJson = 'public.st_asgeojson(g.shape)::json AS shape,';
    await writeFile(adapted, text.replace('g.shape AS shape,', geoJson));
    await runSql(url, adapted);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Runs a file, relative to this project, with psql. @throws with psql's words */
export async function runSql(
  url: string,
  file: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { PATH } = process.env;
  await run('psql', [...psqlOptions, '--file', resolve(root, file), url], {
    env: { PATH, ...env },
    timeout: 60_000,
  });
}

/** One statement on a connection of its own; its rows. */
export async function ask<Row extends pg.QueryResultRow>(
  url: string,
  statement: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, ssl: false });
  await client.connect();
  try {
    return (await client.query<Row>(statement, [...values])).rows;
  } finally {
    await client.end();
  }
}
