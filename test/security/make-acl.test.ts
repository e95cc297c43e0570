import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { renderAcl } from './acl.ts';

const stream = 'fleet:teltonika.1';

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

  test('makes nothing without every password, or of a name that is a pattern', async () => {
    await write('processor', 'x');
    await write('operator', '');
    await expect(renderAcl(dir, stream)).rejects.toThrow(/redis_operator_password is empty/);

    await write('operator', 'x');
    await write('ingestion', 'x');
    await expect(renderAcl(dir, 'fleet:*')).rejects.toThrow(/a stream's name has/);
  });
});
