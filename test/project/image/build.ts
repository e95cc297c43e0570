/**
 * Carries a Dockerfile out without a container engine: each stage in a folder of its own, which
 * holds what COPY brought and RUN made. The base image's own files are not there; commands run on
 * this machine, in the folder that stands for WORKDIR, with the Node that runs the tests.
 */
import { execFile } from 'node:child_process';
import { chmod, cp, lstat, mkdir, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { promisify } from 'node:util';
import type { Dockerfile, Stage } from './dockerfile.ts';
import { createDockerignore } from './dockerignore.ts';

const execFileText = promisify(execFile);
const commandTimeoutMs = 240_000;

export interface BuildInput {
  readonly dockerfile: Dockerfile;
  /** Folder with the context, and the paths in it, relative to it. */
  readonly context: string;
  readonly files: readonly string[];
  readonly dockerignore: string;
  /** An empty folder. */
  readonly workFolder: string;
}

/** @returns the folder with the last stage's files */
export async function buildImage(input: BuildInput): Promise<string> {
  const allowed = createDockerignore(input.dockerignore);
  const context = join(input.workFolder, 'context');
  for (const file of input.files.filter(allowed)) {
    await cp(join(input.context, file), join(context, file), { preserveTimestamps: true });
  }
  const roots = new Map<string, string>();
  let last = '';
  for (const [index, stage] of input.dockerfile.stages.entries()) {
    last = join(input.workFolder, `stage-${index}`);
    await mkdir(last);
    if (stage.name !== null) roots.set(stage.name, last);
    await runStage(stage, last, context, roots);
  }
  return last;
}

async function runStage(
  stage: Stage,
  root: string,
  context: string,
  roots: ReadonlyMap<string, string>,
): Promise<void> {
  let folder = '/';
  for (const { name, text } of stage.instructions) {
    if (name === 'WORKDIR') {
      folder = resolve(folder, text);
      await mkdir(inside(root, folder), { recursive: true });
    }
    if (name === 'COPY') await copy(text, folder, root, context, roots);
    if (name === 'RUN') await runCommand(text, inside(root, folder));
  }
}

async function runCommand(command: string, cwd: string): Promise<void> {
  // The stages' folders stand for an image's root: an absolute path would be this machine's.
  if (/(^|[\s'"=])\/\w/.test(command)) throw new Error(`RUN with an absolute path: ${command}`);
  // All of our own environment: a machine may need it to reach the registry.
  const env = {
    ...process.env,
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    npm_config_prefer_offline: 'true',
  };
  await execFileText('/bin/sh', ['-c', command], {
    cwd,
    env,
    timeout: commandTimeoutMs,
    maxBuffer: 16 * 1024 * 1024,
  });
}

async function copy(
  text: string,
  folder: string,
  root: string,
  context: string,
  roots: ReadonlyMap<string, string>,
): Promise<void> {
  const words = text.split(/\s+/);
  const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length);
  const source = from === undefined ? context : roots.get(from);
  if (source === undefined) throw new Error(`COPY from a stage that is not there: ${from}`);
  const paths = words.filter((word) => !word.startsWith('--'));
  const target = paths.pop() ?? '';
  const destination = inside(root, resolve(folder, target));
  for (const path of paths) {
    const origin = inside(source, resolve('/', path));
    const isFolder = (await stat(origin)).isDirectory();
    // A folder gives its content; a file goes into a target that ends with a slash.
    const intoFolder = !isFolder && (target.endsWith('/') || target === '.');
    await cp(origin, intoFolder ? join(destination, basename(origin)) : destination, {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
}

function inside(root: string, path: string): string {
  const full = join(root, path);
  if (full !== root && !full.startsWith(root + sep)) throw new Error(`${path} leaves the image`);
  return full;
}

/** Every file below the folder, by its path in the image; links are not followed. */
export async function listFiles(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .sort();
}

/** What the engine guarantees: every user can read the image, whatever the umask here was. */
export async function letEverybodyRead(root: string): Promise<void> {
  const paths = await readdir(root, { recursive: true });
  for (const path of [root, ...paths.map((name) => join(root, name))]) {
    const { mode } = await lstat(path);
    if ((mode & 0o170000) === 0o120000) continue;
    const executable = (mode & 0o111) !== 0 ? 0o111 : 0;
    await chmod(path, (mode & 0o777) | 0o444 | executable);
  }
}
