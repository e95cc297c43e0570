import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { askPostgres } from '../../tools/servers/ask.ts';
import { findProgram } from '../../tools/servers/programs.ts';

const run = promisify(execFile);
const debian = '/usr/lib/postgresql';

/** The path of pg_dump, psql … of the server's own major version, or null: another may refuse. */
export async function serverProgram(url: string, name: string): Promise<string | null> {
  const row = await askPostgres<{ server_version_num: string }>(url, 'SHOW server_version_num');
  const major = Math.floor(Number(row?.server_version_num) / 10_000);
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const candidates = [
    ...versions.map((version) => join(debian, version, 'bin', name)).filter(existsSync),
    findProgram(name),
  ].filter((path) => path !== null);
  for (const path of candidates) {
    const { stdout } = await run(path, ['--version']);
    if (Number.parseInt(stdout.replace(/^\D*/, ''), 10) === major) return path;
  }
  return null;
}
