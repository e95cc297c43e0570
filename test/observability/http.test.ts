import { afterEach, describe, expect, it } from 'vitest';
import { createHttpEndpoint, type HttpEndpoint } from '../../src/observability/http.ts';
import { createMetrics } from '../../src/observability/metrics.ts';

describe('the HTTP endpoint', () => {
  let endpoint: HttpEndpoint | undefined;
  afterEach(() => endpoint?.stop());

  async function serve(ready: boolean): Promise<string> {
    const report = { ok: true, checks: {} };
    endpoint = createHttpEndpoint({
      host: '127.0.0.1',
      port: 0,
      registry: createMetrics({ version: '1', revision: 'r' }).registry,
      health: {
        live: () => report,
        ready: () => ({ ok: ready, checks: { database: ready ? 'ok' : 'configuration: 42P01' } }),
        startup: () => report,
      },
    });
    await endpoint.start();
    await endpoint.start();
    return `http://127.0.0.1:${endpoint.address().port}`;
  }

  it('answers the probes under both spellings', async () => {
    const url = await serve(true);
    for (const path of [
      '/health/live',
      '/health/ready',
      '/health/startup',
      '/healthz',
      '/readyz',
    ]) {
      expect((await fetch(url + path)).status, path).toBe(200);
    }
  });

  it('is 503 and names the check when not ready, and alive all the same', async () => {
    const url = await serve(false);
    const ready = await fetch(`${url}/health/ready`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({ ok: false, checks: { database: 'configuration: 42P01' } });
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
  });

  it('serves metrics to several scrapes at once', async () => {
    const url = await serve(true);
    const scrapes = await Promise.all([1, 2, 3].map(() => fetch(`${url}/metrics?x=1`)));
    for (const scrape of scrapes) {
      expect(scrape.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
      expect(await scrape.text()).toContain('processor_build_info');
    }
  });

  it('changes nothing and knows nothing else', async () => {
    const url = await serve(true);
    expect((await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    const head = await fetch(`${url}/metrics`, { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(await head.text()).toBe('');
  });

  it('names HTTP_PORT when the port is taken', async () => {
    const url = new URL(await serve(true));
    const second = createHttpEndpoint({
      host: '127.0.0.1',
      port: Number(url.port),
      registry: createMetrics({ version: '1', revision: 'r' }).registry,
      health: {
        live: () => ({ ok: true, checks: {} }),
        ready: () => ({ ok: true, checks: {} }),
        startup: () => ({ ok: true, checks: {} }),
      },
    });
    await expect(second.start()).rejects.toThrow(/HTTP_PORT/);
    await second.stop();
  });
});
