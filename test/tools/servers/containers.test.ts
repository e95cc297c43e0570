import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { engineAnswers } from '../../../tools/servers/containers.ts';
import { temporaryPrefix } from '../../../tools/servers/system-user.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** Something that listens where DOCKER_HOST says. */
async function listenAsEngine(answer: RequestListener): Promise<void> {
  const dir = await mkdtemp(temporaryPrefix('socket'));
  const socket = join(dir, 'docker.sock');
  const server = createServer(answer).listen(socket);
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await rm(dir, { recursive: true });
  });
  vi.stubEnv('DOCKER_HOST', `unix://${socket}`);
}

test('an engine that answers a ping is there', async () => {
  await listenAsEngine((request, response) => {
    response.statusCode = request.url === '/_ping' ? 200 : 404;
    response.end('OK');
  });

  expect(await engineAnswers()).toBe(true);
});

test('a socket behind which no engine answers counts as none', async () => {
  await listenAsEngine(() => {});

  expect(await engineAnswers()).toBe(false);
});

test('an engine that refuses us counts as none', async () => {
  await listenAsEngine((_request, response) => {
    response.statusCode = 403;
    response.end();
  });

  expect(await engineAnswers()).toBe(false);
});

test('a DOCKER_HOST where nobody listens counts as none', async () => {
  for (const host of ['unix:///nonexistent/docker.sock', 'tcp://127.0.0.1:1', 'nonsense']) {
    vi.stubEnv('DOCKER_HOST', host);

    expect(await engineAnswers()).toBe(false);
  }
});
