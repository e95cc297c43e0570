import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findProgram } from '../../tools/servers/programs.ts';
import { ended } from '../cli/command.ts';

const standIn = join(import.meta.dirname, 'fixtures', 'curl.ts');
let server: Server;
let origin: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    response.writeHead(request.url === '/unavailable' ? 503 : 200);
    response.end('the body\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  origin = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
});
afterAll(() => server?.close());

async function run(command: string, args: readonly string[]) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const { code, stdout } = await ended(child);
  return { code, stdout };
}

const curl = (...args: readonly string[]) => run(process.execPath, [standIn, ...args]);

test.each([
  [['-s'], '/', { code: 0, stdout: 'the body\n' }],
  [['-s'], '/unavailable', { code: 0, stdout: 'the body\n' }],
  [['-fsS'], '/', { code: 0, stdout: 'the body\n' }],
  [['-fsS'], '/unavailable', { code: 22, stdout: '' }],
] as const)(
  'the stand-in for curl with %j of %s does what curl does',
  async (options, path, expected) => {
    expect(await curl(...options, `${origin}${path}`)).toEqual(expected);
    const real = findProgram('curl');
    if (real !== null) expect(await run(real, [...options, `${origin}${path}`])).toEqual(expected);
  },
);

test('the stand-in for curl ends with 7 when nobody listens', async () => {
  expect((await curl('-s', 'http://127.0.0.1:9/')).code).toBe(7);
});

test.each([['-X', 'POST'], ['--retry', '3'], []])(
  'the stand-in for curl refuses %j',
  async (...words) => {
    expect((await curl(...words, ...(words.length === 0 ? [] : [origin]))).code).toBe(2);
  },
);
