import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { missingNeeds, type Need } from '../../scripts/prepare/needs.mjs';
import { advice } from '../../scripts/prepare/packages.mjs';
import { allGone, processTree } from '../../tools/servers/process-tree.ts';
import { eventually } from '../../tools/service.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What a fresh clone has that the preparation reads. */
function freshClone(): string {
  const clone = mkdtempSync(join(tmpdir(), 'a clone-'));
  for (const name of ['package.json', 'package-lock.json', '.npmrc', 'scripts']) {
    cpSync(join(root, name), join(clone, name), { recursive: true });
  }
  return clone;
}

test('every npm script replaces the shell with the program, after the preparation', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

  const form = /^PATH=\$\(node scripts\/prepare\.cjs( demo| test| bench| start)?\) && exec /;
  for (const [name, text] of Object.entries(scripts))
    expect({ [name]: text }).toEqual({ [name]: expect.stringMatching(form) });
});

test.each(['v18.20.4', 'v12.22.12'])('Node %s is refused in one line', (version) => {
  const folder = mkdtempSync(join(tmpdir(), 'old-node-'));
  const preload = join(folder, 'version.cjs');
  const fake = `{ value: '${version}' }`;
  const versions = `{ value: { ...process.versions, node: '${version.slice(1)}' } }`;
  writeFileSync(
    preload,
    `Object.defineProperties(process, { version: ${fake}, versions: ${versions} });`,
  );

  const script = join(root, 'scripts', 'prepare.cjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-r', preload, script, 'demo'], {
    encoding: 'utf8',
  });

  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toMatch(/^processor: needs Node 20 or later .*, and this is v1.*nodejs\.org.*\n$/);
  expect(stderr).toContain(version);
});

describe('what a machine lacks', () => {
  /** A PATH with nothing but these programs. */
  function pathWith(...names: readonly string[]): string {
    const folder = mkdtempSync(join(tmpdir(), 'path-'));
    for (const name of names) symlinkSync('/bin/true', join(folder, name));
    return folder;
  }
  const lacks = (...args: Parameters<typeof missingNeeds>) =>
    missingNeeds(...args).map((need) => `${need.package}${need.required ? '' : ' (optional)'}`);

  test('the demo needs a Redis, unless one is named', () => {
    const PATH = pathWith();
    expect(lacks('demo', { PATH })).toEqual(['redis-server']);
    expect(lacks('demo', { PATH, REDIS_URL: 'redis://x' })).toEqual([]);
    expect(lacks('demo', { PATH, REDIS_URL_FILE: '/x' })).toEqual([]);
    expect(lacks('demo', { PATH, TEST_REDIS_URL: 'redis://x' })).toEqual(['redis-server']);
    expect(lacks('demo', { PATH: pathWith('redis-server') })).toEqual([]);
  });

  test('the tests need a Redis and use psql', () => {
    const PATH = pathWith();
    const TEST_REDIS_URL = 'redis://x';
    const optional = ['redis-server (optional)', 'postgresql-client (optional)'];
    expect(lacks('test', { PATH, TEST_REDIS_URL })).toEqual(optional);
    expect(lacks('test', { PATH: pathWith('redis-server', 'psql') })).toEqual([]);
  });

  test('the service, its start and the development tools need nothing of it', () => {
    expect(lacks('start', { PATH: pathWith() })).toEqual([]);
    expect(lacks(undefined, { PATH: pathWith() })).toEqual([]);
  });

  test('is said in one message, with one command and the variables that help instead', () => {
    const libatomic: Need = {
      name: 'libatomic',
      package: 'libatomic1',
      why: 'Node 26 uses it',
      required: true,
    };
    const needs = [libatomic, ...missingNeeds('demo', { PATH: pathWith() })];

    expect(advice(needs, '').split('\n')).toEqual([
      'processor: missing on this machine:',
      '  libatomic: Node 26 uses it',
      '  redis-server: the demo starts a Redis',
      expect.stringMatching(/libatomic1 redis-server$|^Install libatomic, redis-server\.$/),
      'Or set REDIS_URL and POSTGRES_URL to use running servers.',
      '',
    ]);
  });
});

describe('npm ci in a fresh clone', () => {
  const words = 'PATH=$(node scripts/prepare.cjs) && exec node --version';

  function start(clone: string, registry: string): { child: ChildProcess; stderr: () => string } {
    const child = spawn('/bin/sh', ['-c', words], {
      cwd: clone,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        npm_config_registry: registry,
        npm_config_fetch_retries: '0',
        npm_config_cache: join(clone, 'cache'),
      },
    });
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    return { child, stderr: () => stderr };
  }

  test('that fails ends the script, with what npm said', async () => {
    const { child, stderr } = start(freshClone(), 'http://127.0.0.1:9');

    const [code] = await once(child, 'close');

    expect(code).toBe(1);
    expect(stderr()).toMatch(/ECONNREFUSED[\s\S]*processor: npm ci failed\n$/);
    expect(stderr()).not.toContain('EBADENGINE');
  });

  test('that takes long says how long, and ends with the shell that waits for it', async () => {
    const silent = createServer(() => {});
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    onTestFinished(() => {
      silent.close();
    });
    const address = silent.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { child, stderr } = start(freshClone(), `http://127.0.0.1:${port}`);
    await eventually('progress is shown', () =>
      /: \d+ s, \d+ of \d+ packages\n/.test(stderr()) ? true : undefined,
    );
    const tree = processTree(child.pid ?? 0);
    expect(tree.length).toBeGreaterThan(2);

    child.kill('SIGTERM');

    expect(await allGone(tree, 25_000)).toBe(true);
  });
});
