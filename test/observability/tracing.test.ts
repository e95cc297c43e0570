import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import type { Batch } from '../../src/core/types.ts';
import { createTracing, type TracingOptions } from '../../src/observability/tracing.ts';
import { entry, held, position } from '../core/parts.ts';

interface SentSpan {
  readonly name: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
}

/** A collector that keeps what it is sent. */
async function collector() {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      bodies.push(body);
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const spans = (): SentSpan[] =>
    bodies.flatMap((body) => {
      const { resourceSpans } = JSON.parse(body);
      return resourceSpans.flatMap((resource: { scopeSpans: { spans: object[] }[] }) =>
        resource.scopeSpans.flatMap((scope) => scope.spans),
      );
    });
  return { endpoint: `http://127.0.0.1:${port}/v1/traces`, bodies, spans };
}

const who = { instance: 'one', version: '1.2.3' };

async function startTracing(options: TracingOptions) {
  const tracing = createTracing(options);
  await tracing.start();
  const { reading, writing } = tracing.events;
  return { ...tracing, events: { ...reading(null), ...writing } };
}

test('each step is a span with its ids and without the contents of records', async () => {
  const { endpoint, bodies, spans } = await collector();
  const tracing = await startTracing({ endpoint, sampleRatio: 1, ...who });
  const rows = [position(), position({ ts: 2000 })];
  const batch: Batch = { id: 7, rows, owners: [held(1), held(2)], closedBy: 'idle' };
  tracing.events.read([entry(1), entry(2)], 5);
  tracing.events.interpreted(1, 2);
  tracing.events.batch(batch, ['inserted', 'duplicate'], 12, 1);
  tracing.events.acknowledged([held(1), held(2)], 3);
  await tracing.stop();

  expect(
    spans()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['acknowledge', 'decode', 'insert', 'read']);
  const insert = spans().find(({ name }) => name === 'insert');
  expect(insert?.attributes).toEqual(
    expect.arrayContaining([
      { key: 'processor.batch_id', value: { intValue: 7 } },
      { key: 'processor.rows', value: { intValue: 2 } },
      { key: 'processor.inserted', value: { intValue: 1 } },
      { key: 'processor.first_entry_id', value: { stringValue: '1-0' } },
    ]),
  );
  const text = bodies.join();
  expect(text).toContain('processor');
  expect(text).not.toContain('350000000000001');
  expect(text).not.toContain('54.7');
});

test('decoding is a child of the read that fetched the entries', async () => {
  const { endpoint, spans } = await collector();
  const tracing = await startTracing({ endpoint, sampleRatio: 1, ...who });
  tracing.events.read([entry(1)], 5);
  tracing.events.interpreted(1, 1);
  await tracing.stop();

  const [read, decode] = ['read', 'decode'].map((name) =>
    spans().find((span) => span.name === name),
  );
  expect(read?.parentSpanId ?? '').toBe('');
  expect(decode?.parentSpanId).toBe(read?.spanId);
});

test('an unsampled trace is not sent', async () => {
  const { endpoint, bodies } = await collector();
  const tracing = await startTracing({ endpoint, sampleRatio: 0, ...who });
  tracing.events.read([entry(1)], 5);
  tracing.events.interpreted(1, 1);
  tracing.events.acknowledged([held(1)], 3);
  await tracing.stop();

  expect(bodies).toEqual([]);
});

test('a share of the reads is sampled, each together with its decoding', async () => {
  const { endpoint, spans } = await collector();
  const tracing = await startTracing({ endpoint, sampleRatio: 0.5, ...who });
  for (let n = 1; n <= 200; n += 1) {
    tracing.events.read([entry(n)], 5);
    tracing.events.interpreted(1, 1);
  }
  await tracing.stop();

  const reads = spans().filter(({ name }) => name === 'read').length;
  expect(reads).toBeGreaterThan(50);
  expect(reads).toBeLessThan(150);
  expect(spans().filter(({ name }) => name === 'decode')).toHaveLength(reads);
});

test('an unreachable collector delays nothing', async () => {
  const tracing = await startTracing({
    endpoint: 'http://127.0.0.1:1/v1/traces',
    sampleRatio: 1,
    ...who,
  });
  tracing.events.read([entry(1)], 5);
  const since = performance.now();
  await tracing.stop();

  expect(performance.now() - since).toBeLessThan(3000);
});
