import { request } from 'node:http';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  batchClosings,
  dependencies,
  entrySources,
  messageCodecs,
  outcomes,
  pauseCauses,
  reasons,
} from '../../src/core/types.ts';
import { createHealth, type Health } from '../../src/lifecycle/health.ts';
import { createHttpEndpoint } from '../../src/observability/http.ts';
import { createMetrics, type Metrics } from '../../src/observability/metrics.ts';
import { showBacklog } from '../../src/observability/sampling.ts';
import { readExposition } from './exposition.ts';

const onEvicted = () => undefined;

async function serve(): Promise<{ url: string; port: number; health: Health; metrics: Metrics }> {
  const metrics = createMetrics({ version: '1.2.3', revision: 'abc' });
  const health = createHealth(['startup', 'redis', 'database']);
  const options = {
    host: '127.0.0.1',
    port: 0,
    registry: metrics.registry,
    health,
    onEvicted: () => undefined,
  };
  const endpoint = createHttpEndpoint(options);
  await endpoint.start();
  onTestFinished(() => endpoint.stop());
  const { port } = endpoint.address();
  return { url: `http://127.0.0.1:${port}`, port, health, metrics };
}

describe('the probes', () => {
  test.each(['/health/live', '/healthz'])(
    '%s succeeds as soon as the server answers',
    async (path) => {
      const { url } = await serve();

      const answer = await fetch(url + path);

      expect(answer.status).toBe(200);
      expect(await answer.json()).toEqual({ ok: true, checks: { process: 'ok' } });
    },
  );

  test.each(['/health/ready', '/readyz'])('%s needs every part', async (path) => {
    const { url, health } = await serve();
    const ask = async () => (await fetch(url + path)).status;
    expect(await ask()).toBe(503);

    for (const part of ['startup', 'redis', 'database']) health.set(part, 'ok');
    expect(await ask()).toBe(200);

    health.set('database', 'configuration: 42P01');
    const answer = await fetch(url + path);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({
      ok: false,
      checks: { startup: 'ok', redis: 'ok', database: 'configuration: 42P01' },
    });
  });

  test('/health/startup reports only the start-up', async () => {
    const { url, health } = await serve();
    expect((await fetch(`${url}/health/startup`)).status).toBe(503);

    health.set('startup', 'ok');
    expect((await fetch(`${url}/health/startup`)).status).toBe(200);
  });
});

describe('any other request', () => {
  test.each(['/', '/metrics/', '/health', '/health/ready/x', '/../metrics/..%2f', '//metrics'])(
    '%s is not found',
    async (path) => {
      const { port } = await serve();

      expect(await statusOf(port, path)).toBe(404);
    },
  );

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('%s is not allowed', async (method) => {
    const { url } = await serve();

    const answer = await fetch(`${url}/metrics`, { method });

    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET, HEAD');
  });

  test('HEAD is answered like GET, without a body', async () => {
    const { url } = await serve();

    const whole = await (await fetch(`${url}/health/live`)).text();
    const answer = await fetch(`${url}/health/live`, { method: 'HEAD' });

    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe(String(whole.length));
    expect(await answer.text()).toBe('');
  });

  test('a query string is ignored', async () => {
    const { url } = await serve();

    expect((await fetch(`${url}/health/live?verbose=1`)).status).toBe(200);
  });
});

test('a port in use is reported with the variables to change', async () => {
  const { port } = await serve();
  const { registry } = createMetrics({ version: '1', revision: 'a' });
  const health = createHealth([]);
  const second = createHttpEndpoint({ host: '127.0.0.1', port, registry, health, onEvicted });

  await expect(second.start()).rejects.toThrow(
    `cannot listen on 127.0.0.1:${port}: free the port or set HTTP_HOST and HTTP_PORT`,
  );
});

test('stopping twice or without a start is safe', async () => {
  const { registry } = createMetrics({ version: '1', revision: 'a' });
  const health = createHealth([]);
  const options = { host: '127.0.0.1', port: 0, registry, health, onEvicted };
  await createHttpEndpoint(options).stop();
  const endpoint = createHttpEndpoint(options);
  await endpoint.start();
  await endpoint.start();

  await endpoint.stop();
  await endpoint.stop();
});

describe('/metrics', () => {
  test('is strictly in the text format', async () => {
    const { url } = await serve();

    const answer = await fetch(`${url}/metrics`);

    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(readExposition(await answer.text()).length).toBeGreaterThan(100);
  });

  test('simultaneous scrapes all get a response', async () => {
    const { url } = await serve();

    const answers = await Promise.all(
      Array.from({ length: 10 }, () => fetch(`${url}/metrics`).then((answer) => answer.text())),
    );

    for (const text of answers) expect(text).toContain('processor_build_info');
  });

  test.each([
    ['processor_entries_read_total', 'source', entrySources],
    ['processor_records_total', 'outcome', outcomes],
    ['processor_messages_total', 'codec', messageCodecs],
    ['processor_dead_letters_total', 'reason', reasons],
    ['processor_batches_total', 'closed_by', batchClosings],
    ['processor_backpressure_seconds_total', 'cause', pauseCauses],
    ['processor_retries_total', 'dependency', dependencies],
    ['processor_rehydrations_total', 'result', ['found', 'absent', 'failed']],
    ['processor_redis_reconnects_total', 'role', ['reader', 'writer']],
    ['processor_db_pool_connections', 'state', ['busy', 'idle']],
    ['processor_stage_duration_seconds_count', 'stage', ['interpret', 'insert', 'acknowledge']],
    ['processor_end_to_end_latency_seconds_count', 'from', ['entry', 'device']],
  ])('%s has every %s at 0 from the start', async (name, label, values) => {
    const { metrics } = await serve();

    const found = readExposition(await metrics.registry.metrics())
      .filter((series) => series.name === name)
      .map(({ labels, value }) => [labels, value]);

    expect(found).toEqual(values.map((value) => [`${label}="${value}"`, '0']));
  });

  test('the build information is reported', async () => {
    const { metrics } = await serve();

    expect(await metrics.registry.metrics()).toContain(
      `processor_build_info{version="1.2.3",revision="abc",node_version="${process.versions.node}"} 1`,
    );
  });

  test('an unknown lag is absent, never 0', async () => {
    const { metrics } = await serve();
    const labels = { stream: 's', group: 'g' };
    const known = {
      length: 9,
      neverWritten: false,
      lag: 7,
      lagAgeMs: 1500,
      pending: 2,
      pendingOldestMs: 3,
      idFault: null,
      deadLetters: 0,
      deadLetterOldestMs: 0,
    };
    const shown = async () =>
      readExposition(await metrics.registry.metrics())
        .filter(({ name }) => name.startsWith('processor_stream_group_lag_'))
        .map(({ name, value }) => [name.slice('processor_stream_group_lag_'.length), value]);

    showBacklog(metrics, labels, known);
    expect(await shown()).toEqual([
      ['entries', '7'],
      ['known', '1'],
      ['seconds', '1.5'],
    ]);

    showBacklog(metrics, labels, { ...known, lag: null, lagAgeMs: null });
    expect(await shown()).toEqual([['known', '0']]);
  });
});

/** fetch would tidy the path up first. */
function statusOf(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .once('error', reject)
      .end();
  });
}
