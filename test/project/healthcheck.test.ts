import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../tools/servers/ports.ts';

const script = fileURLToPath(new URL('../../deploy/healthcheck', import.meta.url));

/** The check's exit code, with nothing in its environment but these variables. */
async function check(env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn('/bin/bash', [script], { env, stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  return code;
}

async function listen(server: Server, host = '127.0.0.1'): Promise<string> {
  server.listen(0, host);
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  const address: AddressInfo | string | null = server.address();
  return typeof address === 'object' && address !== null ? String(address.port) : '';
}

const answering = (status: number) =>
  createHttpServer((request, response) => {
    response.statusCode = request.url === '/health/live' ? status : 404;
    response.end('{}');
  });

test('is healthy when the process answers, wherever it listens', async () => {
  const HTTP_PORT = await listen(answering(200));
  expect(await check({ HTTP_PORT })).toBe(0);
  for (const HTTP_HOST of ['127.0.0.1', '0.0.0.0', '::', 'localhost']) {
    expect(await check({ HTTP_HOST, HTTP_PORT }), HTTP_HOST).toBe(0);
  }
});

test('is unhealthy when nothing listens, and when the answer is another one', async () => {
  expect(await check({ HTTP_PORT: String(await freePort()) })).not.toBe(0);
  for (const status of [503, 500, 404, 301]) {
    expect(await check({ HTTP_PORT: await listen(answering(status)) }), `${status}`).not.toBe(0);
  }
});

test('is unhealthy when the answer does not come, or is none', async () => {
  const silent: Socket[] = [];
  const hanging = await listen(createServer((socket) => silent.push(socket)));
  const nonsense = await listen(createServer((socket) => socket.end('SSH-2.0 200 \n')));
  expect(await check({ HTTP_PORT: nonsense })).not.toBe(0);
  expect(await check({ HTTP_PORT: hanging })).not.toBe(0);
  for (const socket of silent) socket.destroy();
});
