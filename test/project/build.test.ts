import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { childEnvironment } from '../../tools/child-environment.ts';
import { entryFields, stream, useStack } from '../cli/stack.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const hook = new URL('../cli/record-modules.ts', import.meta.url);

/** Files that a start of the built program loads; 578 without the bundler. */
const maxRunFiles = 40;

describe('the built program, without node_modules beside it', () => {
  const stack = useStack();
  let folder = '';
  let program = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'processor-build-'));
    program = join(folder, 'dist/processor.js');
    await run(process.execPath, [join(root, 'scripts/build.ts'), join(folder, 'dist')]);
    for (const name of ['migrations', 'package.json']) {
      await cp(join(root, name), join(folder, name), { recursive: true });
    }
    vi.stubEnv('PROCESSOR_PROGRAM', program);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true, force: true });
  });

  async function processor(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const options = { env: { ...childEnvironment(), TIMESCALEDB: 'optional', ...env } };
    return (await run(process.execPath, [program, ...words], options)).stdout;
  }

  test('stores what it reads, from few files', async () => {
    const modules = join(folder, 'modules');
    const env = { NODE_OPTIONS: `--import=${hook}`, LOADED_MODULES_FILE: modules };
    const service = stack.service('one', env);
    await service.untilReady();
    await stack.redis.xadd(stream, '*', ...entryFields(1));
    await vi.waitFor(
      async () => expect(await stack.query('SELECT FROM positions')).toHaveLength(1),
      60_000,
    );
    expect(await service.end('SIGTERM')).toBe(0);

    const urls = (await readFile(modules, 'utf8')).split('\n');
    const files = urls.filter((url) => url.startsWith('file:')).map((url) => fileURLToPath(url));
    const own = files.filter((path) => path !== fileURLToPath(hook));
    expect(own.filter((path) => !path.startsWith(join(folder, 'dist/')))).toEqual([]);
    expect(own.length).toBeLessThan(maxRunFiles);
  });

  test('finds its migrations from every command that needs them', async () => {
    await processor(['migrate', 'up', '--yes'], stack.env());
    await stack.redis.xadd(stream, '*', ...entryFields(1));
    await stack.redis.xgroup('CREATE', stream, 'processor', '0');
    expect(JSON.parse(await processor(['status', '--json'], stack.env()))).toMatchObject({
      database: { pending_migrations: 0 },
    });
  });

  test('reports errors by the lines of the source', async () => {
    const service = stack.service('one', {
      MIGRATIONS: 'verify',
      NODE_OPTIONS: '--enable-source-maps',
    });
    await vi.waitFor(() => expect(service.process.exitCode).toBe(1), 60_000);
    const line = service.logs.find(({ msg }) => msg === 'service failed');
    expect(JSON.stringify(line)).toMatch(/\/src\/db\/migration-history\.ts:\d+/);
  });

  test.each(commands)('loads processor $name', async ({ name, description }) => {
    const text = await processor([name, '--help']);
    expect(text.replace(/\s+/g, ' ')).toContain(description);
  });
});
