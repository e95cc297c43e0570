import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config/load.ts';
import type { Logger } from '../src/core/types.ts';
import { createHealth } from '../src/lifecycle/health.ts';
import { createJobs, createMaintenance } from '../src/maintenance.ts';
import { createMetrics } from '../src/observability/metrics.ts';
import { buildParts } from '../src/service/parts.ts';
import { controlKeys } from '../src/stream/control-keys.ts';
import { shardKey } from '../src/stream/shards.ts';
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
  const metrics = createMetrics({ version: '1', revision: 'a' }, config.shards?.read);
  const health = createHealth(['startup', 'consumption']);
  const parts = buildParts({ config, metrics, health, log });
  const [stream] = parts.streams;
  const [side] = parts.pipeline.readings;
  if (stream === undefined || side === undefined) throw new Error('no stream is read');
  if (env.REDIS_URL === undefined) for (const one of parts.streams) await one.consumer.prepare();
  close.push(async () => {
    await parts.pipeline.drain(0);
    for (const { consumer, connection } of parts.streams) {
      consumer.close();
      connection.close();
    }
    await parts.database.close(1000);
  });
  let stalls = 0;
  const onStalled = () => {
    stalls += 1;
  };
  const options = { config, parts, metrics, health, log, onStalled };
  const series = async (name: string) =>
    (await metrics.registry.metrics()).split('\n').find((line) => line.startsWith(name));
  return {
    key,
    config,
    lines,
    metrics,
    health,
    parts,
    side,
    options,
    series,
    stalls: () => stalls,
  };
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

  test('exports sums over shards, which are absent while one shard is unknown, and each shard', async () => {
    const { key, options, series } = await setUp({ STREAM_SHARDS: '2' });
    const redis = connect();
    for (const shard of [0, 0, 1]) await redis.xadd(shardKey(key, shard), '*', 'a', 'b');
    const jobs = createJobs(options);
    await jobs.samples();
    const sum = (name: string) => series(`${name}{stream="${key}"`);
    expect(await sum('processor_stream_length_entries')).toMatch(/ 3$/);
    expect(await sum('processor_stream_group_lag_entries')).toMatch(/ 3$/);
    expect(await series('processor_shard_lag_entries{shard="0"}')).toMatch(/ 2$/);
    expect(await series('processor_shard_lag_entries{shard="1"}')).toMatch(/ 1$/);

    await redis.set(shardKey(key, 1), 'not a stream');
    await jobs.samples();
    expect(await sum('processor_stream_length_entries')).toBeUndefined();
    expect(await sum('processor_stream_group_lag_known')).toMatch(/ 0$/);
    expect(await sum('processor_stream_group_lag_seconds')).toBeDefined();
    expect(await series('processor_shard_lag_entries{shard="0"}')).toMatch(/ 2$/);
    expect(await series('processor_shard_lag_entries{shard="1"}')).toBeUndefined();
    expect(await series('processor_shard_up{shard="1"}')).toMatch(/ 0$/);
  });

  test('reports the stall of one shard although another one moves, unless its cause is known', async () => {
    const { key, options, parts, stalls } = await setUp({ STREAM_SHARDS: '2' });
    const { config } = options;
    const lifecycle = { ...config.lifecycle, stallLimitMs: 1 };
    const jobs = createJobs({ ...options, config: { ...config, lifecycle } });
    await connect().xadd(shardKey(key, 1), '*', 'a', 'b');
    const sampleTwice = async () => {
      for (let run = 0; run < 3; run += 1) {
        await jobs.samples();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await sampleTwice();
    // Not prepared yet: the cause is known.
    expect(stalls()).toBe(0);
    for (const { gate } of parts.streams) gate.open();
    parts.pipeline.readings[1]?.setPaused(true);
    await sampleTwice();
    expect(stalls()).toBe(0);

    parts.pipeline.readings[1]?.setPaused(false);
    await sampleTwice();
    expect(stalls()).toBe(1);
  });

  test('pauses the shard whose key says so, and names it in the readiness probe', async () => {
    const { key, options, parts, health } = await setUp({ STREAM_SHARDS: '3' });
    for (const { gate } of parts.streams) gate.open();
    await connect().set(controlKeys(shardKey(key, 1)).paused, '{"by":"a","reason":"x","at":"now"}');
    const maintenance = createMaintenance(options);
    await maintenance.start();

    expect(parts.pipeline.readings.map(({ isPaused }) => isPaused)).toEqual([false, true, false]);
    expect(health.ready().checks.consumption).toBe('paused by an operator (shards 1)');
    await maintenance.stop();
  });
});
