import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { readMigrations } from '../../src/db/migrator.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { type Ended, runCommand } from '../cli/command.ts';
import { freshDatabase, hasTimescaledb } from '../setup/database.ts';

const migrations = await readMigrations(new URL('../../migrations/', import.meta.url));
const names = migrations.map(({ name }) => name);
const audit = 'telemetry:teltonika:control:audit';

let server: LocalServer;
let redis: Redis;
let url = '';

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});
beforeEach(async () => {
  await redis.flushall();
  const database = await freshDatabase();
  url = database.url;
  onTestFinished(database.drop);
});

/** A command as an operator types it, without a terminal. */
function processor(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return runCommand({ REDIS_URL: server.url, POSTGRES_URL: url, ...env }, words);
}

async function query(text: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

const audited = async () =>
  (await redis.xrange(audit, '-', '+')).map(([, fields]) => fields.slice(1, 4).join(' '));

const isMigrated = () =>
  query(
    "SELECT to_regclass('positions') IS NOT NULL AS there, to_regclass('positions.devices') IS NOT NULL AS reading",
  );

describe('processor migrate', () => {
  test('status and its exit code report what is pending', async () => {
    const { code, stdout } = await processor(['migrate', 'status', '--json']);

    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      up_to_date: false,
      migrations: migrations.map(({ version, name, checksum }) => ({
        state: 'pending',
        version,
        name,
        checksum,
        applied_checksum: null,
        applied_at: null,
      })),
    });
    expect(await isMigrated()).toEqual([{ there: false, reading: false }]);
  });

  test('up applies what is pending; then status is content, and an audit line is left', async () => {
    const up = await processor(['migrate', 'up', '--yes', '--json', '--by', 'anna']);
    const status = await processor(['migrate', 'status']);

    expect(up.code).toBe(0);
    expect(JSON.parse(up.stdout)).toMatchObject({ applied: names, refusals: [] });
    expect(status.code).toBe(0);
    expect(status.stdout.trim().split('\n')).toHaveLength(names.length);
    expect(status.stdout).toMatch(/^applied {2}0001_positions\.sql +[0-9a-f]{12} {2}20/);
    expect(await audited()).toEqual(['anna command migrate up']);
  });

  test('up on a migrated database changes nothing', async () => {
    await processor(['migrate', 'up', '--yes']);
    const { code, stdout } = await processor(['migrate', 'up', '--yes', '--json']);

    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ applied: [] });
  });

  test('--dry-run reports and changes nothing; without --yes nothing is done', async () => {
    const dry = await processor(['migrate', 'up', '--dry-run']);
    const asked = await processor(['migrate', 'up']);

    expect(dry.code).toBe(0);
    expect(dry.stdout).toContain(names.join(', '));
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain('--yes');
    expect(await isMigrated()).toEqual([{ there: false, reading: false }]);
    expect(await redis.keys('*')).toEqual([]);
  });

  test('a changed and an unknown migration are reported, and up is refused', async () => {
    await processor(['migrate', 'up', '--yes']);
    await query("UPDATE public.processor_migrations SET checksum = 'other' WHERE version = 1");
    await query(`INSERT INTO public.processor_migrations (version, name, checksum)
      VALUES (99, '0099_later.sql', 'later')`);

    const status = await processor(['migrate', 'status', '--json']);
    const up = await processor(['migrate', 'up', '--yes']);

    expect(status.code).toBe(1);
    const { migrations: found } = JSON.parse(status.stdout);
    expect(found.at(0)).toMatchObject({ state: 'changed', applied_checksum: 'other' });
    expect(found.at(-1)).toMatchObject({ state: 'unknown', name: '0099_later.sql' });
    expect(up.code).toBe(1);
    expect(up.stderr).toContain('0001_positions.sql');
  });

  test('without Redis the change is done, and the audit line goes to stderr', async () => {
    const { code, stderr } = await processor(['migrate', 'up', '--yes', '--by', 'anna'], {
      REDIS_URL: 'redis://127.0.0.1:1',
      REDIS_COMMAND_TIMEOUT_MS: '300',
      REDIS_CONNECT_TIMEOUT_MS: '300',
    });

    expect(code).toBe(0);
    expect(stderr).toContain('by=anna command=migrate up');
    expect(await isMigrated()).toEqual([{ there: true, reading: true }]);
  });

  test('a database that cannot be asked is one line, without the login', async () => {
    const { code, stderr } = await processor(['migrate', 'status'], {
      POSTGRES_URL: 'postgres://anna:marker@127.0.0.1:1/none',
    });

    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).not.toContain('marker');
  });
});

describe('processor retention', () => {
  const env = { RETENTION: '100d', TS_MAX_PAST: '100d' };

  beforeEach(async () => {
    await processor(['migrate', 'up', '--yes']);
    await redis.flushall();
    await query(
      `INSERT INTO public.positions (device_id, ts, altitude, angle, speed, satellites, priority, fix,
                              codec, attributes)
       SELECT '350000000000001', now() - n * interval '50 days', 0, 0, 0, 0, 0, false, '8', '{}'
         FROM generate_series(0, 4) AS n`,
    );
  });
  const rows = async () => (await query('SELECT FROM public.positions')).length;
  const kind = hasTimescaledb() ? 'chunks' : 'rows';

  test('drops what is older, and leaves an audit line', async () => {
    const { code, stdout } = await processor(['retention', '--yes', '--json', '--by', 'ben'], env);

    // The chunk of the hundredth day is not wholly older yet.
    const found = kind === 'chunks' ? 2 : 3;
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ kind, found, dropped: found });
    expect(await rows()).toBe(5 - found);
    expect(await audited()).toEqual(['ben command retention']);
  });

  test('--dry-run reports and drops nothing; without --yes nothing is done', async () => {
    const dry = await processor(['retention', '--dry-run'], env);
    const asked = await processor(['retention'], env);

    expect([dry.code, asked.code]).toEqual([0, 2]);
    expect(dry.stdout).toMatch(new RegExp(`^would drop [23] ${kind} older than 20`));
    expect(await rows()).toBe(5);
    expect(await redis.keys('*')).toEqual([]);
  });

  test('with nothing to drop asks nobody and leaves no line', async () => {
    const { code, stdout } = await processor(['retention', '--json'], { RETENTION: '5y' });

    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ dropped: 0 });
    expect(await redis.keys('*')).toEqual([]);
  });

  test('is refused where retention is off', async () => {
    const { code, stderr } = await processor(['retention', '--yes']);

    expect(code).toBe(2);
    expect(stderr).toContain('RETENTION is off');
    expect(await rows()).toBe(5);
  });
});
