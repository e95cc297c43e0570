import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../tools/servers/servers.ts';
import { renderAcl } from './acl.ts';

const stream = 'fleet:teltonika.1';

/** The words of an ACL line; a selector in parentheses is one of them. */
function ruleParts(line: string): readonly string[] {
  return line.match(/\([^)]*\)|\S+/g) ?? [];
}

describe('deploy/redis/make-acl', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'processor-acl-'));
    return () => rm(dir, { recursive: true });
  });
  const write = (name: string, text: string) =>
    writeFile(join(dir, `redis_${name}_password`), text);

  test('makes one line a user, with no password in it and nothing left to fill in', async () => {
    for (const name of ['processor', 'operator', 'ingestion'])
      await write(name, `${name}-secret\n`);

    const lines = (await renderAcl(dir, stream)).trimEnd().split('\n');

    expect(lines.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual([
      'user default off',
      'user processor on',
      'user processor-operator on',
      'user ingestion on',
    ]);
    expect(lines.join()).not.toMatch(/secret|[{}]|#(?![0-9a-f]{64} )/);
  });

  test('makes the users of several templates, and asks only for their passwords', async () => {
    for (const name of ['failover', 'sentinel', 'replica', 'processor', 'operator', 'ingestion'])
      await write(name, `${name}-secret`);
    const usersOf = (acl: string) => [...acl.matchAll(/^user (\S+) on /gm)].map(([, name]) => name);

    const servers = await renderAcl(dir, stream, ['users.acl', 'users.ha.acl']);
    expect(usersOf(servers)).toEqual([
      'processor',
      'processor-operator',
      'ingestion',
      'replica',
      'failover',
    ]);
    expect(servers.startsWith(await renderAcl(dir, stream))).toBe(true);
    await rm(join(dir, 'redis_processor_password'));
    const sentinels = await renderAcl(dir, stream, ['sentinels.acl']);
    expect(usersOf(sentinels)).toEqual(['default', 'failover']);
    expect(servers + sentinels).not.toMatch(/secret|[{}]|#(?![0-9a-f]{64} )/);
  });

  test.each([
    ['fleet:{*}', ['fleet:{0}', 'fleet:{1023}'], ['fleet', 'fleet:', 'fleet:{0', 'other:{0}']],
    ['{fleet}', ['{fleet}'], ['fleet', '{fleet}:{0}']],
  ])('makes rights of %s for its keys and no other', async (name, own, others) => {
    for (const user of ['processor', 'operator', 'ingestion']) await write(user, 'x');
    const server = await startRedis();
    const redis = new Redis(server.url);
    onTestFinished(async () => {
      redis.disconnect();
      await server.stop();
    });
    for (const line of (await renderAcl(dir, name)).trimEnd().split('\n').slice(1)) {
      const [, user = '', ...rules] = ruleParts(line);
      await redis.acl('SETUSER', user, ...rules);
    }
    const mayRun = async (user: string, ...words: string[]) =>
      String(await redis.call('ACL', 'DRYRUN', user, ...words)) === 'OK';

    for (const key of own) {
      expect(await mayRun('ingestion', 'XADD', key, '*', 'f', 'v'), key).toBe(true);
      expect(await mayRun('processor', 'XADD', `${key}:dlq`, '*', 'f', 'v'), key).toBe(true);
      expect(await mayRun('processor', 'GET', `${key}:control:paused`), key).toBe(true);
      expect(await mayRun('processor', 'XADD', key, '*', 'f', 'v'), key).toBe(false);
    }
    for (const key of others) {
      expect(await mayRun('ingestion', 'XADD', key, '*', 'f', 'v'), key).toBe(false);
      expect(await mayRun('processor', 'XLEN', key), key).toBe(false);
    }
  });

  test('makes nothing without every password, or of a name that is a pattern', async () => {
    await write('processor', 'x');
    await write('operator', '');
    await expect(renderAcl(dir, stream)).rejects.toThrow(/redis_operator_password is empty/);

    await write('operator', 'x');
    await write('ingestion', 'x');
    for (const name of ['fleet:*', '{*}', 'fleet:{*}:{*}', 'fleet:{*}x', 'fleet:{?}']) {
      await expect(renderAcl(dir, name), name).rejects.toThrow(/a stream's name has/);
    }
  });
});
