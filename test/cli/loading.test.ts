import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { runCommand } from './command.ts';
import { useStack } from './stack.ts';

const hook = new URL('./record-modules.ts', import.meta.url);
const source = fileURLToPath(new URL('../../src/', import.meta.url));

/** Modules of src/ that `processor run` needs; raise it only for a module that `run` uses. */
const maxRunModules = 200;

// The source: a chunk of the bundle does not show which modules a command loads.
beforeAll(() => {
  vi.stubEnv('PROCESSOR_PROGRAM', undefined);
});

/** An environment in which a process writes down which modules it loads. */
async function recording() {
  const folder = await mkdtemp(join(tmpdir(), 'processor-loading-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'modules');
  return {
    env: { NODE_OPTIONS: `--import=${hook}`, LOADED_MODULES_FILE: file },
    /** The modules of src/, as paths below it. */
    async modules(): Promise<string[]> {
      const urls = (await readFile(file, 'utf8')).split('\n');
      const paths = urls.filter((url) => url.startsWith('file:')).map((url) => fileURLToPath(url));
      return paths
        .filter((path) => path.startsWith(source))
        .map((path) => path.slice(source.length));
    },
  };
}

/** A command is in the file of its name. */
const commandFiles = commands.map(({ name }) => `cli/${name}.ts`);

describe('the modules that a command loads', () => {
  const stack = useStack();

  test('run loads no simulator, no operator command, and little else', async () => {
    const { env, modules } = await recording();
    const service = stack.service('one', env);
    await service.untilReady();
    expect(await service.end('SIGTERM')).toBe(0);

    const loaded = await modules();
    expect(loaded).toContain('main.ts');
    expect(loaded.filter((path) => path.startsWith('simulator/'))).toEqual([]);
    expect(loaded.filter((path) => path.startsWith('cli/')).sort()).toEqual([
      'cli/commands.ts',
      'cli/io.ts',
      'cli/printable.ts',
    ]);
    expect(loaded.length).toBeLessThan(maxRunModules);
  });
});

test('the help of the program lists every command and loads none', async () => {
  const { env, modules } = await recording();
  const { code, stdout } = await runCommand(env, ['--help']);

  expect(code).toBe(0);
  for (const { name, description } of commands) {
    const text = stdout.replace(/\s+/g, ' ');
    expect(text).toContain(`${name} ${description}`);
  }
  const loaded = await modules();
  expect(loaded.filter((path) => commandFiles.includes(path) || path === 'main.ts')).toEqual([]);
});

test.each(commands)(
  'processor $name --help shows its description and loads no other command',
  async ({ name, description }) => {
    const { env, modules } = await recording();
    const { code, stdout } = await runCommand(env, [name, '--help']);

    expect(code).toBe(0);
    expect(stdout.replace(/\s+/g, ' ')).toContain(description);
    const loaded = await modules();
    expect(loaded.filter((path) => commandFiles.includes(path))).toEqual([`cli/${name}.ts`]);
  },
);

test('every command has one line of description', () => {
  const names = commands.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { description } of commands) expect(description).toMatch(/^[a-z][^\n]{10,100}$/);
});
