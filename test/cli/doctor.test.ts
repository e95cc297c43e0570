import { PassThrough } from 'node:stream';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Check } from '../../src/cli/doctor/check.ts';
import { runDoctor } from '../../src/cli/doctor.ts';
import { migrate } from '../../src/db/migrator.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { migrateOptions, migrations, silent } from '../db/positions.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';

const key = 'telemetry:teltonika';

describe('processor doctor', () => {
  let server: LocalServer;
  let redis: Redis;
  let database: FreshDatabase;
  beforeAll(async () => {
    server = await startRedis({ durability: 'real', args: ['--maxmemory', '200mb'] });
    redis = new Redis(server.url);
    database = await freshDatabase();
    await migrate(migrations, migrateOptions(database.url), silent);
    await redis.xadd(key, '*', 'n', 'x');
    await redis.xgroup('CREATE', key, 'processor', '0');
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
    await database.drop();
  });

  async function doctor(env: Record<string, string> = {}, flags = { json: true, strict: false }) {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const code = await runDoctor(
      {
        env: {
          REDIS_URL: server.url,
          POSTGRES_URL: database.url,
          TIMESCALEDB: 'optional',
          ...env,
        },
        stdin: new PassThrough(),
        stdout,
        stderr,
        signal: new AbortController().signal,
      },
      flags,
    );
    const text = String(stdout.read() ?? '');
    const checks: Check[] = flags.json && text !== '' ? JSON.parse(text).checks : [];
    const state = (name: string) => checks.find((check) => check.name === name)?.state;
    return { code, text, checks, state, stderr: String(stderr.read() ?? '') };
  }

  test('finds no problem on a healthy machine', async () => {
    const { code, checks, state } = await doctor();

    expect(code).toBe(0);
    expect(checks.filter((check) => check.state === 'failure')).toEqual([]);
    for (const name of [
      'redis version',
      'redis persistence',
      'redis eviction',
      'redis memory',
      'redis clock',
      'stream',
      'postgresql version',
      'postgresql clock',
      'schema',
    ]) {
      expect([name, state(name)]).toEqual([name, 'ok']);
    }
    expect(state('policies')).toBe('ok');
  });

  test('prints one line per check, and with --strict a warning is a failure', async () => {
    const { code, text } = await doctor({}, { json: false, strict: true });

    // The tests' role is a superuser, which is a warning.
    expect(code).toBe(1);
    expect(text).toMatch(/^warning {2}rights +the role is a superuser/m);
  });

  test('fails when Redis may evict the stream', async () => {
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const { code, state } = await doctor();
    await redis.config('SET', 'maxmemory-policy', 'noeviction');

    expect([code, state('redis eviction')]).toEqual([1, 'failure']);
  });

  test.each([
    ['has no rights, as in the ACL of earlier versions', 'resetkeys -@all', 'failure'],
    ['may only read', '~* -@all +@read +multi +exec', 'failure'],
    ['has every right and is off', '~* +@all', 'ok'],
  ])(
    'knows that Redis replays its AOF as the user default, which %s',
    async (_, rule, expected) => {
      await redis.acl('SETUSER', 'root', 'on', '>x', '~*', '&*', '+@all');
      const root = new Redis(server.port, { username: 'root', password: 'x' });
      const rules = rule.split(' ');
      await root.acl('SETUSER', 'default', 'off', 'resetpass', 'resetchannels', ...rules);
      const { checks } = await doctor({ REDIS_URL: server.url.replace('//', '//root:x@') });
      await root.acl('SETUSER', 'default', 'on', 'nopass', '~*', '&*', '+@all');
      root.disconnect();

      const check = checks.find(({ name }) => name === 'redis persistence');
      expect(check?.state).toBe(expected);
      if (expected === 'failure') expect(check?.message).toContain('processor dlq export');
    },
  );

  test('warns when an ACL refuses to report the rights of the user default', async () => {
    await redis.acl('SETUSER', 'older', 'on', '>x', '~*', '+@all', '-acl');
    const { checks } = await doctor({ REDIS_URL: server.url.replace('//', '//older:x@') });

    const check = checks.find(({ name }) => name === 'redis persistence');
    expect(check?.state).toBe('warning');
    expect(check?.message).toContain('ACL DRYRUN is refused');
  });

  test('fails on a key of another type, and warns of a missing stream', async () => {
    await redis.set('text', 'x');
    expect((await doctor({ REDIS_TELEMETRY_STREAM: 'text' })).state('stream')).toBe('failure');
    expect((await doctor({ REDIS_TELEMETRY_STREAM: 'none' })).state('stream')).toBe('warning');
  });

  test('warns of a database that is not migrated', async () => {
    const empty = await freshDatabase();
    const { state, code } = await doctor({ POSTGRES_URL: empty.url });
    await empty.drop();

    expect([code, state('schema')]).toEqual([0, 'warning']);
  });

  test('fails for each server that cannot be reached, and never shows the password', async () => {
    const { code, checks, text, stderr } = await doctor({
      REDIS_URL: 'redis://:marker-secret@127.0.0.1:1',
      POSTGRES_URL: 'postgres://user:marker-secret@127.0.0.1:1/x',
    });

    expect(code).toBe(1);
    expect(checks.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'redis failure',
      'database failure',
    ]);
    expect(text + stderr).not.toContain('marker-secret');
  });

  test('prints all problems of the configuration and connects to no server', async () => {
    const { code, stderr } = await doctor({ WRITERS: '0', LOG_LEVEL: 'loud' });

    expect(code).toBe(1);
    expect(stderr).toContain('the configuration has 2 problem(s)');
  });
});
