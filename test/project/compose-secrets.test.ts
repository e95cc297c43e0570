import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { askRedis, untilAnswered } from '../../tools/servers/ask.ts';
import { temporaryPrefix } from '../../tools/servers/system-user.ts';
import { readCompose, serviceOf } from './compose/read.ts';
import { startComposeRedis } from './compose/redis.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');
const makeSecrets = join(repository, 'deploy/make-secrets');
// deploy/compose.deploy.yaml has the same Redis; compose.test.ts compares them.
const development = readCompose(read('compose.yaml'), {});

describe('deploy/make-secrets', () => {
  test('makes all that compose.yaml takes', async () => {
    const folder = await mkdtemp(temporaryPrefix('secrets'));
    const secrets = join(folder, 'made');
    const make = (...words: string[]) => execFileSync(makeSecrets, [secrets, ...words]);
    const made = () =>
      Object.values(development.secrets)
        .map(({ file }) => file.replace('./deploy/secrets/', ''))
        .map((name) => [name, readFileSync(join(secrets, name), 'utf8')] as const);
    const passwords = () => made().filter(([name]) => name.endsWith('_password'));
    make();
    const first = passwords();
    expect(made().map(([name]) => name)).toEqual([
      'redis_users.acl',
      ...first.map(([name]) => name),
    ]);
    for (const [, password] of first) expect(password).toMatch(/^[0-9a-f]{48}$/);
    expect(new Set(first.map(([, password]) => password)).size).toBe(first.length);
    expect(statSync(secrets).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(secrets)) {
      expect(statSync(join(secrets, name)).mode & 0o777, name).toBe(0o444);
    }

    const acl = () => readFileSync(join(secrets, 'redis_users.acl'), 'utf8');
    expect(acl()).toContain('~telemetry:teltonika:dlq');
    make('fleet:one');
    expect(passwords()).toEqual(first);
    expect(acl()).toContain('~fleet:one:dlq');
    expect(acl()).not.toContain('telemetry');
    // Run again without it, it keeps the stream.
    const before = acl();
    make();
    expect(acl()).toBe(before);
    expect(readFileSync(join(secrets, 'roles.sql'), 'utf8')).toBe(read('deploy/sql/roles.sql'));
    await rm(folder, { recursive: true });
  });
});

describe('the Redis of compose.yaml', () => {
  test('starts Redis with its users, kept in an append-only file, and full rather than losing', async () => {
    const secrets = await mkdtemp(temporaryPrefix('secrets'));
    execFileSync(makeSecrets, [secrets]);
    // A user that may ask for settings; the file has none.
    const acl = readFileSync(join(secrets, 'redis_users.acl'), 'utf8');
    await rm(join(secrets, 'redis_users.acl'));
    await writeFile(join(secrets, 'redis_users.acl'), `${acl}user admin on >admin ~* &* +@all\n`);
    const started = await startComposeRedis(serviceOf(development, 'redis'), secrets);
    try {
      const { port } = started;
      await untilAnswered('Redis', () => askRedis(`redis://admin:admin@127.0.0.1:${port}`), 10_000);
      const stranger = new Redis(port, '127.0.0.1', { protocol: 2, enableReadyCheck: false });
      await expect(stranger.ping()).rejects.toThrow('NOAUTH');
      stranger.disconnect();
      const redis = new Redis(port, '127.0.0.1', { username: 'admin', password: 'admin' });
      const setting = async (name: string) => (await redis.config('GET', name)).at(1);
      expect(await setting('maxmemory-policy')).toBe('noeviction');
      expect(Number(await setting('maxmemory'))).toBe(768 * 1024 * 1024);
      expect(await setting('appendonly')).toBe('yes');
      expect(await setting('appendfsync')).toBe('everysec');
      redis.disconnect();
      expect(await started.isHealthy()).toBe(true);
      await rm(join(secrets, 'redis_operator_password'));
      await writeFile(join(secrets, 'redis_operator_password'), 'another-password');
      expect(await started.isHealthy()).toBe(false);
    } finally {
      await started.close();
      await rm(secrets, { recursive: true });
    }
  });

  test('starts no Redis without its users', async () => {
    const secrets = await mkdtemp(temporaryPrefix('secrets'));
    for (const acl of [null, '', 'user default on nopass ~* &* +@all\n']) {
      if (acl !== null) await writeFile(join(secrets, 'redis_users.acl'), acl);
      const started = await startComposeRedis(serviceOf(development, 'redis'), secrets);
      expect(await started.ended).toMatchObject({ signal: null });
      expect((await started.ended).code).toBeGreaterThan(0);
      await started.close();
    }
    await rm(secrets, { recursive: true });
  });
});
