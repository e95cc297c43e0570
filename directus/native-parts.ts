import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { lastLines, run } from '../scripts/prepare/run.mjs';
import { Unavailable } from './unavailable.ts';

export interface NodeHome {
  readonly modules: string;
  /** The folder with `bin/` and `include/` of the Node that loads the parts. */
  readonly home: string;
  readonly node: string;
}

/** Shows that work goes on until `done`. */
export type ShowWork = (what: string) => { done(text?: string): void };

/** What Directus loads at its start. Only isolated-vm comes without a program for the platform. */
const parts = [
  { name: 'isolated-vm', isCompiled: true },
  { name: 'argon2', isCompiled: false },
  { name: 'sharp', isCompiled: false },
] as const;

/**
 * Compiles the parts that do not load yet, from the locked sources; their own install scripts,
 * which would download a program that no lock file knows, do not run.
 * @throws Unavailable with every part that does not load, and why
 */
export async function provideNativeParts(place: NodeHome, show: ShowWork): Promise<void> {
  const problems: string[] = [];
  for (const { name, isCompiled } of parts) {
    const first = await loadProblem(place, name);
    if (first === null) continue;
    const built = isCompiled ? await compile(place, name, show) : null;
    const problem = built ?? (await loadProblem(place, name));
    if (problem !== null) problems.push(`${name}: ${problem}`);
  }
  if (problems.length === 0) return;
  throw new Unavailable(`native parts of Directus do not work here:\n  ${problems.join('\n  ')}`);
}

/** null when the part loads in the Node of Directus. */
async function loadProblem({ node, modules }: NodeHome, name: string): Promise<string | null> {
  const script = `import(${JSON.stringify(name)}).catch((e) => { console.log(e.message); process.exit(1) })`;
  const { ok, output } = await run(node, ['--input-type=module', '--eval', script], {
    cwd: join(modules, '..'),
  });
  return ok ? null : `does not load: ${lastLines(output)}`;
}

/** At the lowest priority: a compiler on all cores must not slow down what else runs here. */
async function compile(
  { node, home, modules }: NodeHome,
  name: string,
  show: ShowWork,
): Promise<string | null> {
  const gyp = join(modules, 'node-gyp', 'bin', 'node-gyp.js');
  const cwd = join(modules, name);
  const progress = show(`compiling ${name}, some minutes`);
  // Without nodedir node-gyp downloads the headers.
  const words = [gyp, 'rebuild', '--release', '-j', 'max', '--nodedir', home];
  const { ok, output } = await run('nice', ['-n', '19', node, ...words], {
    cwd,
    env: withoutNpm(process.env),
  });
  progress.done(ok ? `compiled ${name}` : undefined);
  await rm(join(cwd, 'build'), { recursive: true, force: true });
  if (ok) return null;
  return `does not compile (it needs Debian's g++, make and python3): ${reasonOf(output)}`;
}

/**
 * npm hands its configuration to what it runs, and node-gyp lets it win over the command line: with
 * `nodedir=/usr` in an npmrc the part would be compiled for the Node of the system.
 */
function withoutNpm(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^npm_/i.test(name)));
}

/** The first error rather than the last lines, which only say that make failed. */
function reasonOf(output: string): string {
  const line = output.split('\n').find((text) => /error: |Error: /.test(text));
  return line?.trim() ?? lastLines(output);
}
