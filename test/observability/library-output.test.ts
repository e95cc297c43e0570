import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';

const run = promisify(execFile);
const secret = 'hunter2-marker';

let server: LocalServer;
let guarded: LocalServer;
let database: FreshDatabase;
let running: RunningService[] = [];
beforeAll(async () => {
  server = await startRedis();
  guarded = await startRedis();
  // Not --requirepass: the tests' own check of the server has no password.
  const { Redis } = await import('ioredis');
  const admin = new Redis(guarded.url);
  await admin.config('SET', 'requirepass', secret);
  admin.disconnect();
});
afterAll(async () => {
  await server.stop();
  await guarded.stop();
});
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(async () => {
  for (const service of running) await service.end('SIGKILL');
  running = [];
  await database.drop();
});

function serve(env: Readonly<Record<string, string>>): RunningService {
  const started = startService({ POSTGRES_URL: database.url, READ_BLOCK_MS: '200', ...env });
  running.push(started);
  return started;
}

const withPassword = (url: string) => url.replace('//', `//:${secret}@`);

test('the warning of ioredis about an unneeded password is a log line', async () => {
  const service = serve({ REDIS_URL: withPassword(server.url) });
  await service.untilReady();
  const line = await eventually('the warning is logged', () =>
    service.logs.find(({ msg }) => msg === 'a library printed a text'),
  );

  expect(line).toMatchObject({ level: 'warn', text: expect.stringContaining('password') });
  expect(await service.end('SIGTERM')).toBe(0);
  expect(service.stderr()).toBe('');
});

test('warnings, deprecations and output of libraries are log lines on stdout only', async () => {
  // Not in the watchdog's thread, which prints nothing but its last line.
  const script = `import { isMainThread } from 'node:worker_threads';
  if (isMainThread) setTimeout(() => {
    process.emitWarning('odd', { code: 'ODD' });
    process.emitWarning('old', 'DeprecationWarning', 'DEP0999');
    console.log('plain %s', 'text');
    console.error('redis://user:' + '${secret.split('-').join("' + '-' + '")}@host');
    console.table([1]);
  }, 1000)`;
  const preload = `--import data:text/javascript,${encodeURIComponent(script)}`;
  const service = serve({ REDIS_URL: server.url, NODE_OPTIONS: preload });
  await eventually('the last print is logged', () =>
    service.logs.find(({ text }) => typeof text === 'string' && text.includes('index')),
  );
  const text = JSON.stringify(service.logs);

  for (const part of ['odd', 'DEP0999', 'plain text']) expect(text).toContain(part);
  expect(text).not.toContain(secret);
  expect(await service.end('SIGTERM')).toBe(0);
  expect(service.stderr()).toBe('');
});

test.each(['*', 'ioredis:*', 'ioredis*,-nothing'])('DEBUG=%s prints no secret', async (debug) => {
  const env = { REDIS_URL: withPassword(guarded.url), DEBUG: debug };
  const service = serve(env);
  await service.untilReady();
  await service.end('SIGTERM');
  const urls = { POSTGRES_URL: database.url, TIMESCALEDB: 'optional' };
  for (const words of [
    ['doctor'],
    ['dlq', 'list'],
    ['simulate', '--records', '1', '--yes', '--live'],
  ]) {
    const { stdout, stderr } = await run(process.execPath, [programFile(), ...words], {
      env: { ...childEnvironment(), ...urls, ...env },
    });

    expect(stdout + stderr).not.toContain(secret);
    expect(stderr).not.toContain('ioredis');
  }
  expect(JSON.stringify(service.logs) + service.stderr()).not.toContain(secret);
  expect(service.stderr()).toBe('');
});
