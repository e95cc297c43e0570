import { readFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { checkControlKeys } from '../../src/cli/doctor/control.ts';
import { checkRedis } from '../../src/cli/doctor/redis.ts';
import {
  checkRedisRights,
  neededCommands,
  operatorUser,
} from '../../src/cli/doctor/redis-rights.ts';
import { type ControlKeys, controlKeys } from '../../src/stream/control-keys.ts';
import { type AclRedis, startAclRedis } from '../security/acl.ts';

const key = 'fleet:teltonika.1';
const stream = { key, group: 'processor', deadLetterKey: `${key}:dlq` };

describe('doctor with the shipped ACL', () => {
  let acl: AclRedis;
  let service: Redis;
  let operator: Redis;
  beforeAll(async () => {
    acl = await startAclRedis(key);
    service = acl.connect('processor');
    operator = acl.connect('processor-operator');
  });
  afterAll(async () => {
    service.disconnect();
    operator.disconnect();
    await acl.stop();
  });
  beforeEach(() => acl.admin.flushall());

  const rights = (redis: Redis, username: string) =>
    checkRedisRights(redis, { ...stream, username, topology: 'cluster' });

  test('both users have the rights they need', async () => {
    expect(await rights(service, 'processor')).toMatchObject({ state: 'ok' });
    expect(await rights(operator, operatorUser)).toMatchObject({ state: 'ok' });
    expect(await rights(acl.admin, 'admin')).toMatchObject({ state: 'ok' });
  });

  test('checking the rights changes nothing', async () => {
    await rights(acl.admin, 'processor');
    await rights(acl.admin, operatorUser);

    expect(await acl.admin.keys('*')).toEqual([]);
  });

  test.each([
    ['processor', `(~${key}:control:moved +zadd)`, `ZADD on ${key}:control:moved`],
    ['processor', `(~${key}:dlq +xadd)`, `XADD on ${key}:dlq`],
    ['processor', `(~${key} +xgroup|setid)`, `XGROUP SETID on ${key}`],
    ['processor-operator', `(~${key}:dlq +xdel)`, `XDEL on ${key}:dlq`],
  ] as const)(
    'an ACL of an older version, of %s without %s, is named',
    async (user, rule, denied) => {
      // The rights of the shipped ACL but for one command on one key.
      const [, pattern = '', command = ''] = /\(~(\S+) \+(\S+)\)/.exec(rule) ?? [];
      const needed = neededCommands({ ...stream, username: user, topology: 'cluster' });
      const others = needed.flatMap((words) => selectorOf(words, pattern, command) ?? []);
      await acl.admin.acl('SETUSER', 'older', 'reset', 'on', '>pw', ...others);
      const older = new Redis(acl.server.port, {
        username: 'older',
        password: 'pw',
        disableClientInfo: true,
      });
      const check = await rights(older, user);
      older.disconnect();

      expect(check.state).toBe('failure');
      expect(check.message).toContain(
        `the user may not run ${denied}: the ACL is of an older version`,
      );
      expect(check.message).toContain('make-acl');
    },
  );

  test('a right that only a cluster needs is asked for only there', async () => {
    await acl.admin.acl('SETUSER', 'single', 'reset', 'on', '>pw', '~*', '+@all', '-cluster');
    const redis = new Redis(acl.server.port, { username: 'single', password: 'pw' });
    const found = await Promise.all(
      (['single', 'sentinel', 'cluster'] as const).map((topology) =>
        checkRedisRights(redis, { ...stream, username: 'single', topology }),
      ),
    );
    redis.disconnect();

    expect(found.map(({ state }) => state)).toEqual(['ok', 'ok', 'failure']);
    expect(found[2]?.message).toContain('the user may not run CLUSTER SLOTS: the ACL');
  });

  test('a user that may not run scripts gets a failure', async () => {
    await acl.admin.acl('SETUSER', 'noeval', 'reset', 'on', '>pw', '~*', '+@all', '-eval');
    const redis = new Redis(acl.server.port, { username: 'noeval', password: 'pw' });
    const check = await rights(redis, 'noeval');
    redis.disconnect();

    expect(check).toMatchObject({ state: 'failure', message: expect.stringContaining('EVAL') });
  });

  test('the list of needed commands is that of deploy/redis/users.acl', async () => {
    const text = await readFile(new URL('../../deploy/redis/users.acl', import.meta.url), 'utf8');
    for (const user of ['processor', operatorUser]) {
      const allowed = new Set(
        [...rulesOf(text, user).matchAll(/\+([a-z|]+)/g)].map(([, name = '']) => name),
      );
      const needed = new Set(
        neededCommands({ ...stream, username: user, topology: 'cluster' }).map(nameOf),
      );

      expect([...allowed].filter((name) => !needed.has(name))).toEqual([]);
      expect([...needed].filter((name) => !allowed.has(name))).toEqual([]);
    }
  });

  test.each(['processor', operatorUser] as const)(
    'checks by %s leave no denial in the ACL log',
    async (user) => {
      await acl.denials();
      const redis = user === operatorUser ? operator : service;
      const checks = await checkRedis(redis, stream, user);

      expect(checks.map(({ name }) => name)).toContain('control keys');
      expect(await acl.denials()).toEqual([]);
    },
  );

  test.each(Object.keys(controlKeys(key)))('%s of the wrong type is named', async (name) => {
    const wrongKey = Object.entries(controlKeys(key)).find(([other]) => other === name)?.[1] ?? '';
    await acl.admin.call(...wrongTypeFor(name, wrongKey));
    const asOperator = await checkControlKeys(operator, stream, operatorUser);
    const asService = await checkControlKeys(service, stream, 'processor');

    expect(asOperator).toMatchObject({ state: 'failure' });
    expect(asOperator.message).toContain(wrongKey);
    // The service has no right to the audit, and only adds to the record of losses.
    const unread = ['audit', 'lost'];
    if (!unread.includes(name)) expect(asService.message).toContain(wrongKey);
  });

  test('a dead-letter key of the wrong type is named, and a missing key is not', async () => {
    expect((await checkControlKeys(operator, stream, operatorUser)).state).toBe('ok');
    await acl.admin.set(stream.deadLetterKey, 'x');

    expect((await checkControlKeys(operator, stream, operatorUser)).message).toContain(
      stream.deadLetterKey,
    );
  });
});

function wrongTypeFor(name: string, key: string): [string, ...string[]] {
  const isString = name === ('paused' satisfies keyof ControlKeys);
  return isString ? ['LPUSH', key, 'x'] : ['SET', key, 'x'];
}

function nameOf(words: readonly string[]): string {
  const [command = '', sub = ''] = words.map((word) => word.toLowerCase());
  return ['xinfo', 'xgroup', 'client', 'acl', 'script', 'cluster'].includes(command)
    ? `${command}|${sub}`
    : command;
}

/** An ACL rule for one needed command; null for the one that is left out. */
function selectorOf(words: readonly string[], pattern: string, command: string): string | null {
  const keys = words.filter((word) => word.startsWith(key));
  if (nameOf(words) === command && keys.includes(pattern)) return null;
  const patterns = keys.map((one) => `~${one}`).join(' ');
  return keys.length === 0 ? `+${nameOf(words)}` : `(${patterns} +${nameOf(words)})`;
}

/** The lines of a user, without comments. */
function rulesOf(text: string, user: string): string {
  const lines = text.split('\n').filter((line) => !/^ *#/.test(line));
  const start = lines.findIndex((line) => line.startsWith(`user ${user} `));
  const end = lines.findIndex((line, at) => at > start && !line.startsWith(' '));
  return lines.slice(start, end < 0 ? undefined : end).join('\n');
}
