import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { Check } from '../../src/cli/doctor/check.ts';
import { runDoctor } from '../../src/cli/doctor.ts';
import type { Logger } from '../../src/core/types.ts';
import { migrate } from '../../src/db/migrator.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { startPostgres } from '../../tools/servers/postgres.ts';
import type { LocalServer } from '../../tools/servers/servers.ts';
import { testLimitMs } from '../faults/mode.ts';
import {
  describeTimescaledb,
  hasTimescaledb,
  redisUrl,
  testTimescaledb,
} from '../setup/database.ts';
import { connect, migrateOptions, migrations, silent } from './positions.ts';

describeTimescaledb('a server that offers TimescaleDB without loading it', () => {
  let server: LocalServer;
  let databases = 0;
  beforeAll(async () => {
    if (hasTimescaledb())
      server = await startPostgres({ settings: { shared_preload_libraries: '' } });
  }, testLimitMs);
  afterAll(async () => {
    await server?.stop();
  });

  async function emptyDatabase(): Promise<string> {
    databases += 1;
    await askPostgres(server.url, `CREATE DATABASE one_${databases}`);
    const url = new URL(server.url);
    url.pathname = `/one_${databases}`;
    return url.href;
  }

  test('optional: positions is a plain table, and a warning names the setting', async () => {
    const url = await emptyDatabase();
    const warnings: string[] = [];
    const log: Logger = {
      ...silent,
      warn: (fields, msg) => warnings.push(`${msg} ${JSON.stringify(fields)}`),
    };

    const { storage } = await migrate(migrations, migrateOptions(url), log);

    expect(storage).toEqual({ kind: 'plain table', isOffered: true });
    expect(warnings.join('\n')).toContain('shared_preload_libraries');
    const client = await connect(url);
    expect((await client.query('SELECT FROM public.positions')).rowCount).toBe(0);
  });

  test('required: a configuration error names the setting', async () => {
    const required = migrateOptions(await emptyDatabase(), { timescaledb: 'required' });

    await expect(migrate(migrations, required, silent)).rejects.toMatchObject({
      name: 'MigrationError',
      code: 'timescaledb_not_loaded',
      message: expect.stringContaining('shared_preload_libraries'),
    });
  });

  test.each([
    ['required', 'failure'],
    ['optional', 'warning'],
  ] as const)('doctor names the setting, with TIMESCALEDB=%s', async (timescaledb, state) => {
    const url = await emptyDatabase();
    const stdout = new PassThrough();
    await runDoctor(
      {
        env: { REDIS_URL: redisUrl(), POSTGRES_URL: url, TIMESCALEDB: timescaledb },
        stdin: new PassThrough(),
        stdout,
        stderr: new PassThrough(),
        signal: new AbortController().signal,
      },
      { json: true, strict: false },
    );
    const { checks }: { checks: Check[] } = JSON.parse(String(stdout.read()));

    expect(checks.find(({ name }) => name === 'timescaledb')).toMatchObject({
      state,
      message: expect.stringContaining('shared_preload_libraries'),
    });
  });
});

testTimescaledb(
  'a hypertable on a server that no longer loads TimescaleDB is a configuration error that names the setting',
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'processor-not-loaded-'));
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const loaded = await startPostgres({ dir });
    await migrate(migrations, migrateOptions(loaded.url), silent);
    await loaded.stop();
    const server = await startPostgres({ dir, settings: { shared_preload_libraries: '' } });
    onTestFinished(() => server.stop());

    for (const mode of ['auto', 'verify', 'off'] as const) {
      await expect(
        migrate(migrations, migrateOptions(server.url, { mode }), silent),
      ).rejects.toMatchObject({
        name: 'MigrationError',
        code: 'timescaledb_not_loaded',
        message: expect.stringContaining('shared_preload_libraries'),
      });
    }
  },
);
