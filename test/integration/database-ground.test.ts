import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';
import { type LocalServer, startPostgres } from '../../tools/servers/servers.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { migrateOptions, migrations, silent } from '../db/positions.ts';
import { entryOf } from '../security/entries.ts';
import { type FreshDatabase, freshDatabase, freshStream, redisUrl } from '../setup/database.ts';

const run = promisify(execFile);
const device = '356307042441013';

let running: RunningService[] = [];
let redis: Redis;
let stream: string;
beforeAll(() => {
  redis = new Redis(redisUrl());
});
afterAll(() => redis.disconnect());
beforeEach(() => {
  stream = freshStream().key;
});
afterEach(async () => {
  for (const service of running) await service.end('SIGKILL');
  running = [];
});

function envOf(postgresUrl: string): Record<string, string> {
  const urls = { REDIS_URL: redisUrl(), POSTGRES_URL: postgresUrl };
  return { ...urls, REDIS_TELEMETRY_STREAM: stream, TIMESCALEDB: 'optional' };
}

function serve(postgresUrl: string): RunningService {
  const started = startService({ ...envOf(postgresUrl), READ_BLOCK_MS: '200', CONSUMER_NAME: 'a' });
  running.push(started);
  return started;
}

async function untilReadyTells(service: RunningService, text: string): Promise<void> {
  await eventually(`/health/ready tells ${text}`, async () => {
    const answer = await fetch(`${await service.url()}/health/ready`);
    return (await answer.text()).includes(text) ? true : undefined;
  });
  expect(await service.health('ready')).toBe(503);
}

async function processor(postgresUrl: string, ...words: string[]) {
  const env = { ...childEnvironment(), ...envOf(postgresUrl) };
  return await run(process.execPath, [programFile(), ...words], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, text: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      text: error.stdout + error.stderr,
    }),
  );
}

async function send(second: number): Promise<void> {
  await redis.xadd(stream, '*', ...entryOf(device, second, { device_id: device }));
}

async function ask<Row extends object>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function untilStored(url: string, rows: number): Promise<void> {
  await eventually(`${rows} rows are stored`, async () => {
    const [found] = await ask<{ n: number }>(
      url,
      'SELECT count(*)::int AS n FROM public.positions',
    );
    return found?.n === rows ? true : undefined;
  });
}

describe('a PostgreSQL standby', () => {
  let server: LocalServer;
  let url: string;
  beforeAll(async () => {
    server = await startPostgres();
    await ask(server.url, 'CREATE DATABASE telemetry');
    url = server.url.replace(/\/[^/]*$/, '/telemetry');
    await migrate(migrations, migrateOptions(url), silent);
  });
  afterAll(() => server.stop());

  /** The server as it is after the loss of its primary: in recovery, open for reading. */
  async function becomeStandby(): Promise<void> {
    const [found] = await ask<{ dir: string }>(
      server.url,
      "SELECT current_setting('data_directory') AS dir",
    );
    await writeFile(join(found?.dir ?? '', 'standby.signal'), '');
    await server.restart();
  }

  test('is named by run, doctor and commands, is left alone, and works once promoted', async () => {
    await becomeStandby();
    await send(1);
    const service = serve(url);

    await untilReadyTells(service, '"database":"configuration: STANDBY"');
    expect(await redis.xlen(stream)).toBe(1);
    const { code, text } = await processor(url, 'doctor');
    expect(code).toBe(1);
    expect(text).toMatch(/failure +postgresql role +this is a standby.*POSTGRES_URL/);
    const migrated = await processor(url, 'migrate', 'up', '--yes');
    expect(migrated.code).toBe(1);
    expect(migrated.text).toContain('this is a standby');
    expect((await processor(url, 'migrate', 'status')).code).toBe(0);

    await ask(url, 'SELECT pg_promote()');
    await service.untilReady();
    await untilStored(url, 1);
  });

  test('that a primary becomes while the service runs stops reading, and heals by itself', async () => {
    const [before] = await ask<{ n: number }>(
      url,
      'SELECT count(*)::int AS n FROM public.positions',
    );
    const service = serve(url);
    await service.untilReady();
    await becomeStandby();
    await send(2);

    await untilReadyTells(service, '"database":"configuration: STANDBY"');
    await ask(url, 'SELECT pg_promote()');
    await service.untilReady();
    await untilStored(url, (before?.n ?? 0) + 1);
    expect(await service.metric('processor_records_total{outcome="dead_letter"}')).toBe(0);
  });
});

describe('a database', () => {
  let database: FreshDatabase;
  let name: string;
  beforeEach(async () => {
    database = await freshDatabase();
    name = new URL(database.url).pathname.slice(1);
    await migrate(migrations, migrateOptions(database.url), silent);
  });
  afterEach(() => database.drop());

  test('that is read-only by default is named, and heals once it is not', async () => {
    await ask(database.url, `ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    await send(1);
    const service = serve(database.url);

    await untilReadyTells(service, '"database":"configuration: READ_ONLY"');
    expect((await processor(database.url, 'doctor')).text).toMatch(
      /failure +postgresql role +transactions are read-only.*default_transaction_read_only/,
    );
    await ask(
      database.url.replace(/\/[^/]*$/, '/postgres'),
      `ALTER DATABASE ${name} RESET default_transaction_read_only`,
    );
    await service.untilReady();
    await untilStored(database.url, 1);
  });

  test('whose positions lost its primary key is named, and heals with a new one', async () => {
    const service = serve(database.url);
    await service.untilReady();
    const [key] = await ask<{ name: string }>(
      database.url,
      "SELECT conname AS name FROM pg_constraint WHERE conrelid = 'public.positions'::regclass AND contype = 'p'",
    );
    await ask(database.url, `ALTER TABLE public.positions DROP CONSTRAINT ${key?.name}`);
    await send(1);

    await untilReadyTells(service, '"database":"configuration: 42P10"');
    expect(JSON.stringify(service.logs)).toContain(
      'ALTER TABLE public.positions ADD PRIMARY KEY (device_id, ts)',
    );
    expect((await processor(database.url, 'doctor')).text).toMatch(
      /failure +primary key +.*ALTER TABLE public.positions ADD PRIMARY KEY \(device_id, ts\)/,
    );
    await ask(database.url, 'ALTER TABLE public.positions ADD PRIMARY KEY (device_id, ts)');
    await service.untilReady();
    await untilStored(database.url, 1);
    expect((await processor(database.url, 'doctor')).text).toMatch(/ok +primary key/);
  });
});
