import { once } from 'node:events';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Gauge, Registry } from 'prom-client';
import { expect, onTestFinished, test } from 'vitest';
import { createHttpEndpoint } from '../../src/observability/http.ts';

const well = () => ({ ok: true, checks: { process: 'ok' } });
/** More than the endpoint holds. */
const many = 100;
const oneClient = '127.0.0.2';

async function serve(registry = new Registry()) {
  const evicted: string[] = [];
  const endpoint = createHttpEndpoint({
    host: '127.0.0.1',
    port: 0,
    registry,
    health: { live: well, ready: well, startup: well },
    onEvicted: (address) => evicted.push(address),
  });
  await endpoint.start();
  onTestFinished(() => endpoint.stop());
  return { port: endpoint.address().port, evicted };
}

/** Opens a connection and sends these bytes. */
async function hold(port: number, bytes: string, localAddress = oneClient): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined);
  onTestFinished(() => {
    socket.destroy();
  });
  await once(socket, 'connect');
  if (bytes !== '') await new Promise((resolve) => socket.write(bytes, resolve));
  return socket;
}

function ask(port: number, path: string, localAddress = '127.0.0.1'): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', localAddress, path, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode));
    }).once('error', reject);
  });
}

const kinds = [
  ['idle', ''],
  ['in the middle of their headers', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: '],
  ['kept open after an answer', 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'],
] as const;

test.each(kinds)(
  'connections %s of one client do not lock out another client',
  async (_name, bytes) => {
    const { port, evicted } = await serve();
    for (let count = 0; count < many; count += 1) await hold(port, bytes);

    expect(await ask(port, '/healthz')).toBe(200);
    expect(await ask(port, '/metrics', '127.0.0.3')).toBe(200);
    expect(new Set(evicted)).toEqual(new Set([oneClient]));
  },
);

test.each(kinds)(
  'connections %s do not lock out a request of the same client',
  async (_name, bytes) => {
    const { port } = await serve();
    for (let count = 0; count < many; count += 1) await hold(port, bytes);

    expect(await ask(port, '/healthz', oneClient)).toBe(200);
  },
);

test('connections of many clients do not lock out another client', async () => {
  const { port } = await serve();
  for (let client = 2; client < 2 + many; client += 1) await hold(port, '', `127.0.1.${client}`);

  expect(await ask(port, '/healthz')).toBe(200);
});

test('a response in progress outlives any number of idle connections of the same client', async () => {
  const registry = new Registry();
  const entered = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  new Gauge({
    name: 'slow',
    help: 'Waits.',
    registers: [registry],
    collect: async () => {
      entered.resolve();
      await gate.promise;
    },
  });
  const { port, evicted } = await serve(registry);
  const scrape = ask(port, '/metrics', oneClient);
  await entered.promise;

  for (let count = 0; count < many; count += 1) await hold(port, '');
  await ask(port, '/healthz');
  expect(evicted.length).toBeGreaterThanOrEqual(many - 64);
  gate.resolve();
  expect(await scrape).toBe(200);
});

test('requests whose responses are never read do not lock out another client', async () => {
  const { port } = await serve();
  const request = 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n';
  for (let count = 0; count < many; count += 1) {
    const socket = await hold(port, request.repeat(50));
    socket.pause();
  }

  expect(await ask(port, '/healthz')).toBe(200);
});

test('the number of open connections stays at the limit', async () => {
  const { port, evicted } = await serve();
  const sockets = await Promise.all(Array.from({ length: many }, () => hold(port, '')));
  const closings = sockets.map((socket) => once(socket, 'close'));

  await ask(port, '/healthz');
  const excess = many + 1 - 64;
  expect(evicted).toHaveLength(excess);
  let closed = 0;
  await new Promise<void>((resolve) => {
    for (const closing of closings) {
      closing.then(() => {
        closed += 1;
        if (closed === excess) resolve();
      });
    }
  });
});
