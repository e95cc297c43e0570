import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { embeddedPostgres } from './embedded-postgres.ts';
import type { SystemUser } from './guard-protocol.ts';
import { findProgram } from './programs.ts';
import { ServerError } from './server-error.ts';

const execFileText = promisify(execFile);
const debianFolder = '/usr/lib/postgresql';

export interface PostgresPrograms {
  readonly initdb: string;
  readonly postgres: string;
  /** The installation has the extension. */
  readonly timescaledb: boolean;
}

/**
 * The installation for local servers: TEST_POSTGRES_BIN if set, else the npm package, else
 * Debian's, else one in PATH.
 * @throws ServerError `no_program`
 */
export async function locatePostgres(user: SystemUser | null): Promise<PostgresPrograms> {
  const { TEST_POSTGRES_BIN: chosen } = process.env;
  if (chosen) {
    const programs = await programsIn(chosen, user);
    if (programs !== null) return programs;
    throw new ServerError(
      'no_program',
      `TEST_POSTGRES_BIN=${chosen} holds no initdb and postgres that run here as the tests' user`,
    );
  }
  const found = (await embeddedPrograms(user)) ?? (await installedPrograms(user));
  if (found !== null) return found;

  throw new ServerError(
    'no_program',
    "no PostgreSQL: npm has none for this platform, and none is installed (Debian's package postgresql)",
  );
}

async function embeddedPrograms(user: SystemUser | null): Promise<PostgresPrograms | null> {
  for await (const bin of embeddedPostgres()) {
    const programs = await programsIn(bin, user);
    if (programs !== null) return programs;
  }
  return null;
}

async function installedPrograms(user: SystemUser | null): Promise<PostgresPrograms | null> {
  const inPath = findProgram('initdb');
  for (const bin of [...debianBins(), ...(inPath === null ? [] : [dirname(inPath)])]) {
    const programs = await programsIn(bin, user);
    if (programs !== null) return programs;
  }
  return null;
}

/** Debian's installations, the newest first. */
function debianBins(): readonly string[] {
  if (!existsSync(debianFolder)) return [];
  return readdirSync(debianFolder)
    .filter((version) => /^\d+$/.test(version))
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(debianFolder, version, 'bin'));
}

/**
 * Asks initdb for its paths: it answers only when it runs for this user, finds its libraries and
 * a postgres of its own version. null when it does not.
 */
async function programsIn(bin: string, user: SystemUser | null): Promise<PostgresPrograms | null> {
  const initdb = join(bin, 'initdb');
  const postgres = join(bin, 'postgres');
  const { PATH = '/usr/bin:/bin' } = process.env;
  try {
    const { stdout, stderr } = await execFileText(initdb, ['--show', '-D', '/nonexistent'], {
      cwd: '/',
      timeout: 10_000,
      env: { PATH, LC_ALL: 'C' },
      ...(user ?? {}),
    });
    const share = /^share_path=(.+)$/m.exec(stdout + stderr)?.[1];
    if (share === undefined || !existsSync(postgres)) return null;
    const timescaledb = existsSync(join(share, 'extension', 'timescaledb.control'));
    return { initdb, postgres, timescaledb };
  } catch {
    return null;
  }
}
