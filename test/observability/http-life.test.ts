import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { Gauge, Registry } from 'prom-client';
import { afterEach, describe, expect, test } from 'vitest';
import { createHttpEndpoint, type HttpEndpoint } from '../../src/observability/http.ts';

const well = () => ({ ok: true, checks: { process: 'ok' } });
const opened: HttpEndpoint[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((endpoint) => endpoint.stop()));
});

function endpointOf(options: { port?: number; registry?: Registry; live?: typeof well } = {}) {
  const { port = 0, registry = new Registry(), live = well } = options;
  const endpoint = createHttpEndpoint({
    host: '127.0.0.1',
    port,
    registry,
    health: { live, ready: well, startup: well },
    onEvicted: () => undefined,
  });
  opened.push(endpoint);
  return endpoint;
}

function urlOf(endpoint: HttpEndpoint): string {
  return `http://127.0.0.1:${endpoint.address().port}`;
}

/** A registry whose rendering waits until it is let go. */
function slowRegistry() {
  const registry = new Registry();
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  let renderings = 0;
  new Gauge({
    name: 'slow',
    help: 'Waits.',
    registers: [registry],
    collect: async () => {
      renderings += 1;
      entered.resolve();
      await gate.promise;
    },
  });
  return { registry, entered: entered.promise, letGo: gate.resolve, renderings: () => renderings };
}

/** Sends bytes as they are. @returns all that comes back until the end */
async function raw(endpoint: HttpEndpoint, bytes: string): Promise<() => Promise<string>> {
  const socket = connect(endpoint.address().port, '127.0.0.1');
  const ended = once(socket, 'close');
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    answer += text;
  });
  // A connection that is cut may end with a reset; what came before it is looked at.
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  await new Promise((resolve) => socket.write(bytes, resolve));
  return async () => {
    await ended;
    return answer;
  };
}

describe('start and stop', () => {
  test('are safe when repeated, without each other, and again after a stop', async () => {
    const endpoint = endpointOf();
    await endpoint.stop();
    await Promise.all([endpoint.start(), endpoint.start()]);
    expect((await fetch(`${urlOf(endpoint)}/healthz`)).status).toBe(200);
    const first = urlOf(endpoint);
    await Promise.all([endpoint.stop(), endpoint.stop()]);
    await endpoint.stop();
    await expect(fetch(`${first}/healthz`)).rejects.toThrow();

    await endpoint.start();
    expect((await fetch(`${urlOf(endpoint)}/healthz`)).status).toBe(200);
  });

  test('a stop during the start leaves nothing listening, a start during the stop does', async () => {
    const endpoint = endpointOf();
    const starting = endpoint.start();
    await endpoint.stop();
    await starting;
    expect(endpoint.address().port).toBe(0);

    await endpoint.start();
    const stopping = endpoint.stop();
    await endpoint.start();
    await stopping;
    expect((await fetch(`${urlOf(endpoint)}/healthz`)).status).toBe(200);
  });

  test('a port that was taken can be bound once it is free', async () => {
    const first = endpointOf();
    await first.start();
    const second = endpointOf({ port: first.address().port });
    await expect(second.start()).rejects.toThrow(/free the port or set HTTP_HOST and HTTP_PORT/);
    await first.stop();
    await second.start();
    expect((await fetch(`${urlOf(second)}/healthz`)).status).toBe(200);
  });

  test('a stop closes idle connections and lets a response in progress finish', async () => {
    const { registry, entered, letGo } = slowRegistry();
    const endpoint = endpointOf({ registry });
    await endpoint.start();
    const agent = new Agent({ keepAlive: true });
    const [idle] = await once(get(`${urlOf(endpoint)}/healthz`, { agent }), 'response');
    idle.resume();
    const idleEnded = once(idle.socket, 'close');
    await once(idle, 'end');

    const scrape = fetch(`${urlOf(endpoint)}/metrics`);
    await entered;
    const stopping = endpoint.stop();
    await idleEnded;
    letGo();
    expect(await (await scrape).text()).toContain('# TYPE slow gauge');
    await stopping;
    agent.destroy();
  });

  test('a stop does not wait for a client that never finishes', async () => {
    const endpoint = endpointOf();
    await endpoint.start();
    const answer = await raw(endpoint, 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: ');
    // One answer from the endpoint: the connection opened before it was accepted by then.
    await fetch(`${urlOf(endpoint)}/healthz`);
    await endpoint.stop();
    expect(await answer()).not.toContain('200 OK');
  });
});

describe('a request', () => {
  test('for metrics shares the rendering with requests that arrive meanwhile', async () => {
    const { registry, entered, letGo, renderings } = slowRegistry();
    const endpoint = endpointOf({ registry });
    await endpoint.start();
    const url = `${urlOf(endpoint)}/metrics`;
    const first = fetch(url);
    await entered;
    const others = [fetch(url), fetch(url)];
    // A probe that is answered was sent after them on connections opened before.
    for (let probe = 0; probe < 5; probe += 1) await fetch(`${urlOf(endpoint)}/healthz`);
    letGo();
    const texts = await Promise.all([first, ...others].map(async (got) => (await got).text()));
    expect(new Set(texts).size).toBe(1);
    expect(renderings()).toBe(1);
    await fetch(url);
    expect(renderings()).toBe(2);
  });

  test('is answered as JSON without caching, also when the path or method is unknown', async () => {
    const endpoint = endpointOf();
    await endpoint.start();
    for (const [method, path, status] of [
      ['GET', '/healthz', 200],
      ['GET', '/secret', 404],
      ['GET', '//healthz', 404],
      ['GET', '/metrics/', 404],
      ['DELETE', '/healthz', 405],
    ] as const) {
      const answer = await fetch(urlOf(endpoint) + path, { method });
      expect([method, path, answer.status]).toEqual([method, path, status]);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(answer.headers.get('content-type')).toBe('application/json');
      expect(await answer.json()).toBeTypeOf('object');
      if (status === 405) expect(answer.headers.get('allow')).toBe('GET, HEAD');
    }
  });

  test('with a body is answered and its connection closed', async () => {
    const endpoint = endpointOf();
    await endpoint.start();
    const head = 'POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n';
    expect(await (await raw(endpoint, head))()).toMatch(/^HTTP\/1\.1 405 [\s\S]*Connection: close/);
  });

  test('with headers beyond 8 KiB is refused', async () => {
    const endpoint = endpointOf();
    await endpoint.start();
    const head = `GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(9000)}\r\n\r\n`;
    expect(await (await raw(endpoint, head))()).toMatch(/^HTTP\/1\.1 431 /);
  });

  test('that fails internally gets a 500 without details', async () => {
    const warned = once(process, 'warning');
    const endpoint = endpointOf({
      live: () => {
        throw new Error('redis://user:hunter2-marker@host');
      },
    });
    await endpoint.start();
    const answer = await fetch(`${urlOf(endpoint)}/healthz`);
    expect(answer.status).toBe(500);
    expect(await answer.json()).toEqual({ error: 'internal error' });
    const [warning] = await warned;
    expect(warning.message).toBe('/healthz could not be answered: Error: redis://***@host');
  });
});
