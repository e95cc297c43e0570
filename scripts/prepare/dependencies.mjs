import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { showProgress } from './progress.mjs';
import { run } from './run.mjs';

const failureCharacters = 4_096;

/**
 * Installs the locked dependencies where the clone is fresh or the lock file is newer.
 * @param {string} root
 * @returns {Promise<boolean>}
 */
export async function provideDependencies(root) {
  if (areCurrent(root)) return true;
  const expected = lockedFolders(root);
  const progress = showProgress('processor: npm ci, the locked dependencies', {
    out: process.stderr,
    detail: () => `${expected.filter(isInPlace).length} of ${expected.length} packages`,
  });
  // Warnings are not for the person who runs this: that some packages ask for a newer Node than
  // the one npm runs on is settled by the pinned Node.
  const words = ['ci', '--include=dev', '--include=optional', '--loglevel=error'];
  const { ok, output } = await run('npm', words, { cwd: root });
  progress.done(
    ok ? `processor: installed the locked dependencies, ${expected.length} packages` : undefined,
  );
  if (!ok) process.stderr.write(`${output.slice(-failureCharacters)}\nprocessor: npm ci failed\n`);
  return ok;
}

/** @param {string} root */
function areCurrent(root) {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  return statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
}

/** @param {string} folder */
function isInPlace(folder) {
  return existsSync(join(folder, 'package.json'));
}

/**
 * @typedef {{ os?: string[], cpu?: string[], libc?: string[] }} Locked
 */

/**
 * The folders of the packages that this machine gets. A registry may lack an optional one, so the
 * number is for a person only.
 * @param {string} root
 * @returns {readonly string[]}
 */
function lockedFolders(root) {
  /** @type {{ packages: Record<string, Locked> }} */
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(packages)
    .filter(([path, locked]) => path !== '' && isForThisMachine(locked))
    .map(([path]) => join(root, path));
}

/** @param {Locked} locked */
function isForThisMachine({ os, cpu, libc }) {
  const isForPlatform = (os ?? [process.platform]).includes(process.platform);
  // Alpine's musl is the other one; a wrong guess shows a wrong number.
  return isForPlatform && (cpu ?? [process.arch]).includes(process.arch) && !libc?.includes('musl');
}
