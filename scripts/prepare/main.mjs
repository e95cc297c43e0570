import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { provideDependencies } from './dependencies.mjs';
import { missingNeeds } from './needs.mjs';
import { provide } from './packages.mjs';
import { lastLines } from './run.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
/** Without the pinned Node: the first that runs TypeScript and has what the project uses. */
const leastUnpinned = 24;
/** @type {readonly unknown[]} */
const purposes = ['demo', 'test', 'bench', 'start', undefined];

/**
 * Installs what the script needs: system packages, then the locked dependencies.
 * @param {string | undefined} purpose which script of package.json; undefined: a development tool
 * @returns {Promise<string | null>} the PATH for the script; null after a message on standard error
 */
export async function prepare(purpose) {
  if (!isPurpose(purpose)) return refuse(`no preparation is known for ${purpose}`);
  if (!(await provide(missingNeeds(purpose, process.env)))) return null;
  if (!(await provideDependencies(root))) return null;
  if (purpose === 'start' && !existsSync(join(root, 'dist', 'processor.js'))) {
    return refuse('dist/processor.js is not built yet: npm run build');
  }
  const node = pinnedNode();
  return node === null ? null : `${dirname(node)}:${process.env.PATH ?? ''}`;
}

/**
 * @param {string | undefined} purpose
 * @returns {purpose is import('./needs.mjs').Purpose}
 */
function isPurpose(purpose) {
  return purposes.includes(purpose);
}

/** @param {string} message */
function refuse(message) {
  process.stderr.write(`processor: ${message}\n`);
  return null;
}

/** @returns {string | null} */
function pinnedNode() {
  const platform = `${process.platform}-${process.arch}`;
  const pinned = join(root, 'node_modules', `node-${platform}`, 'bin', 'node');
  if (existsSync(pinned)) {
    const { status, stderr, error } = spawnSync(pinned, ['--version'], { encoding: 'utf8' });
    if (status === 0) return pinned;
    return refuse(`${pinned} does not start here: ${lastLines(error?.message ?? stderr)}`);
  }
  if (Number(process.versions.node.split('.')[0]) >= leastUnpinned) return process.execPath;
  return refuse(`no pinned Node for ${platform}; install Node 26 (this is ${process.version})`);
}
