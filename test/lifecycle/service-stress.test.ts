import { once } from 'node:events';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Config, loadConfig } from '../../src/config/load.ts';
import type { Logger, Service } from '../../src/core/types.ts';
import { stopInReverse } from '../../src/lifecycle/sequence.ts';
import { assemble, createService } from '../../src/service.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { freePort } from '../../tools/servers/ports.ts';
import { eventually } from '../../tools/service.ts';
import {
  databaseUrl,
  type FreshDatabase,
  freshDatabase,
  freshStream,
  redisUrl,
} from '../setup/database.ts';
import { connect } from '../stream/entries.ts';
import {
  isListening,
  listeners,
  randomNumbers,
  recordingLog,
  shuffled,
  threads,
} from './service-run.ts';

/**
 * Starts and stops the parts of the service in random order against real servers, after River's
 * startstoptest. Each run ends with the service's own stop order; then nothing may be left.
 */

const build = { version: '1.2.3', revision: 'abc' };
const partNames = [
  'tracing',
  'panic handler',
  'watchdog',
  'http',
  'database',
  'redis connection',
  'consumer',
  'primary watch',
  'preparation',
  'maintenance',
  'pipeline',
];

let database: FreshDatabase;
let config: Config;
let endpoint: string;
let collector: ReturnType<typeof createServer>;

beforeEach(async () => {
  database = await freshDatabase();
  collector = createServer((request, response) => {
    request.resume().on('end', () => response.end('{}'));
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const address = collector.address();
  endpoint = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/v1/traces`;
  config = configOf({});
});
afterEach(async () => {
  collector.closeAllConnections();
  collector.close();
  await database.drop();
});

function configOf(env: Readonly<Record<string, string>>): Config {
  const { key, group } = freshStream();
  const loaded = loadConfig(
    {
      REDIS_URL: redisUrl(),
      POSTGRES_URL: database.url,
      REDIS_TELEMETRY_STREAM: key,
      REDIS_CONSUMER_GROUP: group,
      // Unique, so that the connections of this test can be distinguished from others.
      CONSUMER_NAME: group,
      TIMESCALEDB: 'optional',
      HTTP_PORT: '0',
      READ_BLOCK_MS: '100',
      PANIC_DIR: tmpdir(),
      TRACING_ENDPOINT: endpoint,
      TRACING_SAMPLE_PERCENT: '100',
      ...env,
    },
    { hostname: 'host', readFile: () => '' },
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

async function connections({ service }: Config): Promise<string[]> {
  const clients = String(await connect().client('LIST'));
  const sessions = await askPostgres<{ names: string }>(
    databaseUrl(),
    "SELECT string_agg(application_name, ' ') AS names FROM pg_stat_activity",
  );
  return [...(clients.match(/name=\S+/g) ?? []), ...(sessions?.names ?? '').split(' ')].filter(
    (name) => name.includes(`processor:${service.instance}`),
  );
}

async function untilNothingIsLeft(of: Config, before: ReturnType<typeof listeners>): Promise<void> {
  let left: readonly string[] = [];
  await eventually('every connection is closed', async () => {
    left = await connections(of);
    return left.length === 0 ? true : undefined;
  }).catch((cause: unknown) => {
    throw new Error(`left: ${left.join(', ')}`, { cause });
  });
  expect(listeners()).toEqual(before);
}

async function send(of: Config, count: number): Promise<void> {
  const redis = connect();
  for (let index = 0; index < count; index += 1) {
    const ts = new Date(Date.now() - index * 1000).toISOString();
    const device = '352093081452251';
    const payload = JSON.stringify({
      device_id: device,
      timestamp: ts,
      latitude: 54.6872,
      longitude: 25.2797,
      altitude: 100,
      angle: 90,
      speed: 50,
      satellites: 10,
      priority: 0,
      attributes: {},
    });
    await redis.xadd(
      of.streams[0].key,
      '*',
      'device_id',
      device,
      'ts',
      ts,
      'codec',
      '8',
      'payload',
      payload,
    );
  }
}

function partsOf(of: Config, log: Logger) {
  const assembled = assemble(of, build, log, new AbortController().signal);
  return { ...assembled, stopAll: () => stopInReverse(assembled.order, log) };
}

describe('every part of the service', () => {
  test('is listed in order under its name', () => {
    expect(partsOf(config, recordingLog().log).order.map(({ name }) => name)).toEqual(partNames);
  });

  test.each(partNames)('%s: may be stopped without a start, and twice', async (name) => {
    const before = listeners();
    const { log, warnings } = recordingLog();
    const { order, stopAll } = partsOf(config, log);
    const part = order.find((one) => one.name === name);
    await part?.stop();
    await Promise.all([part?.stop(), part?.stop()]);
    await stopAll();

    expect(warnings()).toEqual([]);
    await untilNothingIsLeft(config, before);
  });

  test.each(partNames)(
    '%s: may be started twice, also at once, and stopped twice',
    async (name) => {
      const before = listeners();
      const { log, warnings } = recordingLog();
      const { order, stopAll } = partsOf(config, log);
      const part = order.find((one) => one.name === name);
      await Promise.all([part?.start(), part?.start()]);
      await part?.start();
      await part?.stop();
      await part?.stop();
      await stopAll();

      expect(warnings().filter(({ msg }) => msg === 'part could not be stopped')).toEqual([]);
      await untilNothingIsLeft(config, before);
    },
  );

  test.each<[seed: number, env: Record<string, string>]>([
    [1, {}],
    [2, {}],
    [3, {}],
    [4, {}],
    [5, { STREAM_SHARDS: '3' }],
    [6, { STREAM_SHARDS: '16', READ_SHARDS: '2-4' }],
  ])('starts and stops with all others in random order, seed %i with %o', async (seed, env) => {
    config = configOf(env);
    const random = randomNumbers(seed);
    const before = listeners();
    const threadsBefore = threads();
    const { log, lines } = recordingLog();
    const { order, stopAll } = partsOf(config, log);
    const running: Promise<void>[] = [];
    for (let step = 0; step < 40; step += 1) {
      const [part] = shuffled(order, random);
      if (part === undefined) continue;
      const call = random() < 0.5 ? part.start() : part.stop();
      running.push(call);
      // Half of the calls overlap with those after them.
      if (random() < 0.5) await call;
    }
    await Promise.all(running);
    for (const part of shuffled([...order, ...order], random)) await part.stop();
    await stopAll();

    expect(lines.filter(({ msg }) => msg === 'part could not be stopped')).toEqual([]);
    await untilNothingIsLeft(config, before);
    await eventually('the watchdog has ended', () =>
      threads() <= threadsBefore ? true : undefined,
    );
  });
});

describe('the service', () => {
  test('starts once however often it is asked, stores what it reads and leaves nothing', async () => {
    const before = listeners();
    const { log, lines, warnings } = recordingLog();
    await send(config, 20);
    const service = createService(config, build, log);
    await Promise.all([service.start(), service.start()]);
    await eventually('all entries are acknowledged', async () => {
      const [pending] = await connect().xpending(config.streams[0].key, config.streams[0].group);
      const stored = await askPostgres<{ rows: number }>(
        database.url,
        'SELECT count(*)::integer AS rows FROM public.positions',
      );
      return pending === 0 && stored?.rows === 20 ? true : undefined;
    });
    expect((await connections(config)).length).toBeGreaterThanOrEqual(3);
    expect(await service.drain()).toBe(true);
    await Promise.all([service.stop(), service.stop()]);
    await service.stop();

    expect(lines.filter(({ msg }) => msg === 'reading begins')).toHaveLength(1);
    expect(warnings().map(({ msg }) => msg)).toEqual([expect.stringContaining('plain table')]);
    await untilNothingIsLeft(config, before);
  });

  test('may be drained and stopped without a start', async () => {
    const before = listeners();
    const { log, warnings } = recordingLog();
    const service = createService(config, build, log);
    expect(await service.drain()).toBe(true);
    await service.stop();
    await service.stop();

    expect(warnings()).toEqual([]);
    await untilNothingIsLeft(config, before);
  });

  test('does not start after its stop', async () => {
    const service = createService(config, build, recordingLog().log);
    await service.stop();
    await expect(service.start()).rejects.toThrow(/abort/i);
    expect(await connections(config)).toEqual([]);
  });

  test('ends a start that waits for Redis when it is stopped, and releases the rest', async () => {
    const before = listeners();
    const port = await freePort();
    const waiting = configOf({
      REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
      HTTP_PORT: String(port),
    });
    const { log, lines } = recordingLog();
    const service = createService(waiting, build, log);
    const started = service.start();
    started.catch(() => undefined);
    await eventually('the preparation retries', () =>
      lines.find(({ msg }) => msg === 'start-up step failed; retrying'),
    );
    expect(await isListening(port)).toBe(true);
    await service.stop();

    await expect(started).rejects.toThrow(/abort/i);
    expect(await isListening(port)).toBe(false);
    await untilNothingIsLeft(waiting, before);
  });

  test('releases what it acquired when a start fails half way', async () => {
    const before = listeners();
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const service = createService(configOf({ HTTP_PORT: String(port) }), build, recordingLog().log);
    const threadsBefore = threads();
    await expect(service.start()).rejects.toThrow(/cannot listen/);
    taken.close();

    expect(listeners()).toEqual(before);
    await eventually('the watchdog has ended', () =>
      threads() <= threadsBefore ? true : undefined,
    );
  });

  test('releases every connection when the migration is refused', async () => {
    const before = listeners();
    const { log } = recordingLog();
    const first = createService(config, build, log);
    await first.start();
    await first.stop();
    await askPostgres(database.url, "UPDATE processor_migrations SET checksum = 'other'");
    const second = createService(config, build, log);

    await expect(second.start()).rejects.toThrow(/migration/i);
    await untilNothingIsLeft(config, before);
  });

  test('describes its state before, during and after its life', async () => {
    const service = createService(config, build, recordingLog().log);
    const health = () => JSON.stringify(service.describeState().summary);
    expect(health()).toContain('"startup":"starting"');
    await service.start();
    expect(health()).toContain('"startup":"ok"');
    await service.stop();
    expect(health()).toContain('"startup":"stopping"');
    expect(service.describeState().entries).toEqual([]);
  });
});

describe('stopping parts', () => {
  test('continues after a part that fails to stop, and logs its name', async () => {
    const stopped: string[] = [];
    const part = (name: string, stop: () => Promise<void>): Service => ({
      name,
      start: () => Promise.resolve(),
      stop,
    });
    const note = (name: string) => () => {
      stopped.push(name);
      return Promise.resolve();
    };
    const { log, lines } = recordingLog();
    const broken = part('two', () => Promise.reject(new Error('no')));
    await stopInReverse([part('one', note('one')), broken, part('three', note('three'))], log);

    expect(stopped).toEqual(['three', 'one']);
    expect(lines).toMatchObject([{ msg: 'part could not be stopped', fields: { part: 'two' } }]);
  });
});
