import { hash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { showProgress } from '../scripts/prepare/progress.mjs';
import { lastLines, run } from '../scripts/prepare/run.mjs';
import { provideNativeParts } from './native-parts.ts';
import { Unavailable } from './unavailable.ts';

export interface Installation {
  /** The Node that runs Directus; not the one that runs this project. */
  readonly node: string;
  /** Directus' command line as a script; `directus` itself would ask the registry for updates. */
  readonly cli: string;
}

const folder = fileURLToPath(new URL('./server', import.meta.url));
const modules = join(folder, 'node_modules');
/** The hash of the lock file that was installed; `npm ci` removes it with the folder. */
const stamp = join(modules, '.processor-lock');
const PROGRESS_MS = 30_000;

/**
 * Installs the locked Directus into `server/`, unless it is there, and compiles what it needs.
 * @throws Unavailable when this machine cannot have it
 */
export async function provideDirectus(out: NodeJS.WritableStream): Promise<Installation> {
  if (!isCurrent()) await installPackages(out);
  const platform = `${process.platform}-${process.arch}`;
  const home = join(modules, `node-${platform}`);
  const node = join(home, 'bin', 'node');
  if (!existsSync(node)) throw new Unavailable(`npm has no Node 22 for ${platform}`);
  await provideNativeParts({ modules, home, node }, (what) =>
    showProgress(what, { out, everyMs: PROGRESS_MS }),
  );
  return { node, cli: join(modules, '@directus', 'api', 'dist', 'cli', 'run.js') };
}

/** By content: git gives a file a new time on every checkout, and an installation takes minutes. */
function isCurrent(): boolean {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === lockHash();
}

function lockHash(): string {
  return hash('sha256', readFileSync(join(folder, 'package-lock.json')));
}

async function installPackages(out: NodeJS.WritableStream): Promise<void> {
  const progress = showProgress('npm ci in directus/server, 860 MB', { out, everyMs: PROGRESS_MS });
  const { ok, output } = await run('npm', ['ci', '--loglevel=error'], { cwd: folder });
  progress.done(ok ? 'installed the packages of Directus' : undefined);
  if (!ok) throw new Unavailable(`npm ci in directus/server failed: ${lastLines(output)}`);
  await writeFile(stamp, lockHash());
}
