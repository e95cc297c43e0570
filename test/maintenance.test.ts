import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config/load.ts';
import type { Logger } from '../src/core/types.ts';
import { createHealth } from '../src/lifecycle/health.ts';
import { createJobs, createMaintenance } from '../src/maintenance.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import { buildParts } from '../src/service/parts.ts';
import { controlKeys } from '../src/stream/control-keys.ts';
import { freePort } from '../tools/servers/ports.ts';
import { type FreshDatabase, freshDatabase, freshStream, redisUrl } from './setup/database.ts';
import { connect } from './stream/entries.ts';

let database: FreshDatabase;
let close: (() => Promise<void>)[] = [];
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(async () => {
  for (const end of close) await end();
  close = [];
  await database.drop();
});

/** The jobs over real parts, with the metrics and log lines that they write. */
async function setUp(env: Readonly<Record<string, string>> = {}) {
  const { key, group } = freshStream();
  const loaded = loadConfig(
    {
      REDIS_URL: redisUrl(),
      POSTGRES_URL: database.url,
      REDIS_TELEMETRY_STREAM: key,
      REDIS_CONSUMER_GROUP: group,
      CONSUMER_NAME: 'one',
      ...env,
    },
    { hostname: 'host', readFile: () => '' },
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const { config } = loaded;
  const lines: string[] = [];
  const write = (_fields: object, msg: string) => void lines.push(msg);
  const log: Logger = { debug: write, info: write, warn: write, error: write };
  const metrics = createMetrics({ version: '1', revision: 'a' });
  const health = createHealth(['startup', 'consumption']);
  const parts = buildParts({ config, metrics, health, log });
  const [stream] = parts.streams;
  const [side] = parts.pipeline.readings;
  if (stream === undefined || side === undefined) throw new Error('no stream is read');
  if (env.REDIS_URL === undefined) await stream.consumer.prepare();
  close.push(async () => {
    await parts.pipeline.drain(0);
    stream.consumer.close();
    stream.connection.close();
    await parts.database.close(1000);
  });
  let stalls = 0;
  const onStalled = () => {
    stalls += 1;
  };
  const options = { config, parts, metrics, health, log, onStalled };
  const series = async (name: string) =>
    (await metrics.registry.metrics()).split('\n').find((line) => line.startsWith(name));
  return { key, config, lines, metrics, health, side, options, series, stalls: () => stalls };
}

/** The jobs of the instance and of its only stream. */
function jobsOf(options: Parameters<typeof createJobs>[0]) {
  const { streams, ...jobs } = createJobs(options);
  const [only] = streams;
  if (only === undefined) throw new Error('no stream is maintained');
  return { ...jobs, ...only };
}

describe('maintenance', () => {
  test('has read the pause before its start resolves, so that nothing is read during a pause', async () => {
    const { key, options, side, health } = await setUp();
    const pause = { by: 'anna', reason: 'planned work', at: '2026-11-21T02:00:00.000Z' };
    await connect().set(controlKeys(key).paused, JSON.stringify(pause));
    const maintenance = createMaintenance(options);
    await maintenance.start();

    expect(side.isPaused).toBe(true);
    expect(health.ready().checks.consumption).toBe('paused by an operator');
    await maintenance.stop();
  });

  test('resumes once the pause is lifted, and logs each change once', async () => {
    const { key, options, side, lines } = await setUp();
    const jobs = jobsOf(options);
    await connect().set(controlKeys(key).paused, '{"by":"anna","reason":"x","at":"now"}');
    await jobs.switches();
    await jobs.switches();
    await connect().del(controlKeys(key).paused);
    await jobs.switches();
    await jobs.switches();

    expect(side.isPaused).toBe(false);
    expect(lines.filter((line) => line.startsWith('consumption'))).toEqual([
      'consumption paused',
      'consumption resumed',
    ]);
  });

  test('removes the gauges of the stream while Redis is down, and counts the failed sample', async () => {
    const { options, series } = await setUp({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
    await createJobs(options).samples();

    expect(await series('processor_stream_length_entries{')).toBeUndefined();
    expect(await series('processor_scrape_errors_total')).toBe('processor_scrape_errors_total 1');
    expect(await series('processor_redis_connected{role="writer"}')).toMatch(/ 0$/);
  });

  test('exports the length and the lag of a stream', async () => {
    const { key, options, series } = await setUp();
    await connect().xadd(key, '*', 'a', 'b');
    await createJobs(options).samples();

    expect(await series('processor_stream_length_entries{')).toMatch(/ 1$/);
    expect(await series('processor_stream_group_lag_entries{')).toMatch(/ 1$/);
  });

  test('reports a stall once, and only for a backlog without a known cause', async () => {
    const { key, options, side, stalls } = await setUp();
    const { config } = options;
    const lifecycle = { ...config.lifecycle, stallLimitMs: 1 };
    const jobs = createJobs({ ...options, config: { ...config, lifecycle } });
    const pastTheLimit = () => new Promise((resolve) => setTimeout(resolve, 20));
    await jobs.samples();
    await pastTheLimit();
    await jobs.samples();
    expect(stalls()).toBe(0);

    await connect().xadd(key, '*', 'a', 'b');
    side.setPaused(true);
    for (let run = 0; run < 3; run += 1) {
      await jobs.samples();
      await pastTheLimit();
    }
    expect(stalls()).toBe(0);

    side.setPaused(false);
    for (let run = 0; run < 3; run += 1) {
      await jobs.samples();
      await pastTheLimit();
    }
    expect(stalls()).toBe(1);
  });

  test('renews no claim while nothing is held', async () => {
    const { options, series } = await setUp();
    const jobs = jobsOf(options);
    await jobs.claims();
    await jobs.claims();
    expect(await series('processor_claims_kept_total')).toBe('processor_claims_kept_total 0');
  });

  test('removes the number of chunks while the database cannot be asked', async () => {
    const { options, series, metrics } = await setUp({
      POSTGRES_URL: `postgres://u:p@127.0.0.1:${await freePort()}/x`,
    });
    metrics.chunks.set(3);
    await createJobs(options).chunks();
    expect(await series('processor_hypertable_chunks')).toBeUndefined();
  });
});
