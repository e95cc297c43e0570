import { accessSync, constants, readFileSync, statfsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { SystemUser } from './guard-protocol.ts';
import { ServerError } from './server-error.ts';

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * The user for PostgreSQL, which refuses to run as root: `postgres` where Debian's package made
 * one, else `nobody`. null when we are not root: then it runs as ourselves.
 */
export function unprivilegedUser(): SystemUser | null {
  if (!isRoot()) return null;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new ServerError(
    'no_program',
    'PostgreSQL does not run as root and there is no user postgres or nobody; ' +
      'run as another user or set TEST_DATABASE_URL',
  );
}

/**
 * Folders for temporary files that another user can enter, best first: as root, TMPDIR may lie
 * in /root or in pam_tmpdir's /tmp/user/0.
 */
function temporaryFolders(): readonly string[] {
  return entered([tmpdir(), '/tmp', '/var/tmp']);
}

/** The same, for what later runs use again: TMPDIR may be a test run's own folder. */
export function cacheFolders(): readonly string[] {
  return entered(['/tmp', '/var/tmp', tmpdir()]);
}

function entered(folders: readonly string[]): readonly string[] {
  const usable = folders.filter((folder) => !isRoot() || everybodyEnters(folder));
  return [...new Set(usable)];
}

/** Whether every user of the machine may enter the folder; not so in the home of root. */
export function everybodyEnters(folder: string): boolean {
  const path = resolve(folder);
  try {
    if ((statSync(path).mode & 0o001) === 0) return false;
  } catch {
    return false;
  }
  return path === '/' || everybodyEnters(dirname(path));
}

/** Prefix of a server's own temporary folder, as `mkdtemp` takes it. */
export function temporaryPrefix(name: string): string {
  const [folder] = temporaryFolders();
  if (folder === undefined) {
    throw new ServerError(
      'start_failed',
      'no temporary folder that every user can enter; set TMPDIR',
    );
  }
  return `${folder}/processor-${name}-`;
}

const memoryFolder = '/dev/shm';
/** What the servers of one run need at most, and as much again for everything else. */
const memoryNeeded = 6 * 2 ** 30;

/**
 * The same for data that a test server throws away: in memory where there is enough, because there
 * CREATE DATABASE costs a third of the CPU and waits for no disk.
 */
export function discardedPrefix(
  name: string,
  { folder = memoryFolder, needed = memoryNeeded } = {},
): string {
  return hasRoom(folder, needed) ? `${folder}/processor-${name}-` : temporaryPrefix(name);
}

function hasRoom(folder: string, needed: number): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = statfsSync(folder);
    const free = Math.min(bavail * bsize, process.availableMemory());
    return free >= needed && (!isRoot() || everybodyEnters(folder));
  } catch {
    return false;
  }
}
