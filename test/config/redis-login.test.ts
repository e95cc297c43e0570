import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { loadRedisLogin } from '../../src/config/redis-login.ts';
import { programFile } from '../../tools/program.ts';

const host = {
  hostname: 'worker-7',
  readFile: (path: string) => {
    if (path === '/run/password') return 'pass/w@rd \r\n';
    throw Object.assign(new Error(`no such file: ${path}`), { code: 'ENOENT' });
  },
};

describe('the login of Redis alone', () => {
  test.each([
    {},
    { REDIS_URL: 'redis://ingestion@redis:6379', REDIS_PASSWORD_FILE: '/run/password' },
    { REDIS_URL: 'redis://ingestion:old@redis:6379', REDIS_PASSWORD: 'new' },
    { REDIS_URL: 'rediss://redis:6379' },
    { REDIS_URL: 'redis+sentinel://user:old@s1,s2/telemetry', REDIS_PASSWORD: 'new' },
    { REDIS_URL: 'redis+sentinel://s1/telemetry', REDIS_NAT_MAP: '10.0.0.1:1=h:2' },
  ])('is what the service reads of %o', (env) => {
    const service = loadConfig({ ...env, POSTGRES_URL: 'postgres://db/telemetry' }, host);
    if (!service.ok) throw new Error('the service takes it');

    const { url, topology, natMap, tls } = service.config.redis;
    expect(loadRedisLogin(env, host)).toEqual({ ok: true, url, topology, natMap, tls });
  });

  test.each([
    { REDIS_URL: 'mysql://redis' },
    { REDIS_URL: 'redis://redis?db=1' },
    { REDIS_PASSWORD_FILE: '/run/none' },
    { REDIS_PASSWORD: 'x', REDIS_PASSWORD_FILE: '/run/password' },
    { REDIS_CA_FILE: '/run/ca.pem' },
    { REDIS_SENTINEL_PASSWORD: 'x' },
    { REDIS_URL: 'redis+sentinel://s1' },
  ])('has the problems that the service has with %o', (env) => {
    const service = loadConfig({ ...env, POSTGRES_URL: 'postgres://db/telemetry' }, host);

    expect(service.ok).toBe(false);
    expect(loadRedisLogin(env, host)).toEqual(service);
  });
});

test('`processor simulate` reports a missing password file and exits with 1', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [programFile(), 'simulate', '--records', '1'],
    {
      env: { PATH: process.env.PATH, REDIS_PASSWORD_FILE: '/nowhere/password' },
      encoding: 'utf8',
    },
  );

  expect(status).toBe(1);
  expect(stderr).toContain('REDIS_PASSWORD: got REDIS_PASSWORD_FILE=/nowhere/password');
});

test('`processor simulate --redis-url` overrides REDIS_URL and its file', () => {
  const words = ['simulate', '--records', '1', '--redis-url', 'redis://127.0.0.1:1'];
  const { status, stderr } = spawnSync(process.execPath, [programFile(), ...words], {
    env: { PATH: process.env.PATH, REDIS_URL: 'nonsense', REDIS_URL_FILE: '/nowhere/url' },
    encoding: 'utf8',
  });

  expect(status).toBe(1);
  expect(stderr).toContain('ECONNREFUSED');
});
