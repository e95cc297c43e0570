import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { migrateOptions, migrations, silent } from '../db/positions.ts';
import { type AclRedis, startAclRedis, users } from './acl.ts';
import {
  denied,
  hasPsql,
  needsPsql,
  outcomeOf,
  type RolesDatabase,
  roleNames,
  rolesDatabase,
  row,
} from './roles.ts';

const page = await readFile(new URL('../../docs/threat-model.md', import.meta.url), 'utf8');

/** What a table of the page says that a name may and may not do, part by part. */
function claimsOf(name: string): { may: string[]; mayNot: string[] } {
  const line = page.split('\n').find((text) => text.startsWith(`| \`${name}\` `)) ?? '';
  const [, , may = '', mayNot = ''] = line.split('|').map((cell) => cell.trim());
  return { may: may.split('; '), mayNot: mayNot.split('; ') };
}

const statements: Readonly<Record<string, readonly string[]>> = {
  'change `positions`': ['UPDATE public.positions SET speed = 0'],
  'create in the database': ['CREATE SCHEMA mine', 'DROP SCHEMA mine'],
  'read `processor_migrations`': ['SELECT FROM public.processor_migrations'],
  'create roles': ['CREATE ROLE mine'],
  'read files of the server': ["SELECT pg_read_file('/etc/passwd')"],
  'read and add `positions`': [row, 'SELECT FROM public.positions'],
  'change or delete `positions`': [
    'UPDATE public.positions SET speed = 0',
    'DELETE FROM public.positions',
    'TRUNCATE public.positions',
  ],
  'write `processor_migrations`': ['DELETE FROM public.processor_migrations'],
  'read the list of devices': ['SELECT FROM positions.devices'],
  'read the outbox': ['SELECT FROM positions.outbox'],
  'read, add and delete the outbox': [
    "INSERT INTO positions.outbox (device_id, from_ts, to_ts) VALUES ('1', now(), now())",
    'SELECT FROM positions.outbox FOR UPDATE SKIP LOCKED',
    'DELETE FROM positions.outbox',
  ],
  'change the outbox': ['UPDATE positions.outbox SET from_ts = now()', 'TRUNCATE positions.outbox'],
  'delete the list of devices': ['DELETE FROM positions.devices'],
  'create tables, temporary ones too': [
    'CREATE TABLE public.mine (x int)',
    'CREATE TEMPORARY TABLE mine (x int)',
  ],
  'read `positions`': ['SELECT FROM public.positions'],
  'read views and functions of the schema `positions`': [
    'SELECT FROM positions.last_positions',
    "SELECT positions.track('350000000000001', now(), now())",
  ],
  'add `positions`': [row],
  'delete from the schema `positions`': ['DELETE FROM positions.devices'],
};

describe.skipIf(!hasPsql())('the table of roles', { meta: { needs: needsPsql } }, () => {
  let database: RolesDatabase;
  beforeAll(async () => {
    database = await rolesDatabase();
    await database.apply();
    await migrate(migrations, migrateOptions(database.urls.migrator), silent);
  });
  afterAll(() => database.drop());

  test.each(roleNames)('says what the %s may and may not do', async (name) => {
    const { may, mayNot } = claimsOf(`processor_${name}`);
    const url = database.urls[name];
    const off = 'SET default_transaction_read_only = off';
    for (const claim of may) {
      for (const statement of statements[claim] ?? [`no statement for: ${claim}`]) {
        expect(await outcomeOf(url, off, statement), claim).toBe('done');
      }
    }
    for (const claim of mayNot) {
      for (const statement of statements[claim] ?? [`no statement for: ${claim}`]) {
        expect(await outcomeOf(url, off, statement), claim).toBe(denied);
      }
    }
  });
});

const stream = 'fleet:teltonika.2';
const audit = `${stream}:control:audit`;
const dlq = `${stream}:dlq`;
const commands: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'read entries': [['XRANGE', stream, '-', '+']],
  'acknowledge entries': [['XACK', stream, 'g', '1-1']],
  'write and delete dead letters': [
    ['XADD', dlq, '*', 'a', 'b'],
    ['XDEL', dlq, '1-1'],
  ],
  'add to the stream': [['XADD', stream, '*', 'a', 'b']],
  'delete entries': [['XDEL', stream, '1-1']],
  pause: [['SET', `${stream}:control:paused`, 'x']],
  'read the audit': [['XRANGE', audit, '-', '+']],
  'write the audit': [['XADD', audit, '*', 'a', 'b']],
  request: [['XADD', `${stream}:control:requests`, '*', 'a', 'b']],
  'write the audit and delete its lines': [
    ['XADD', audit, '*', 'a', 'b'],
    ['XDEL', audit, '1-1'],
  ],
  'read entries and dead letters': [
    ['XRANGE', stream, '-', '+'],
    ['XRANGE', dlq, '-', '+'],
  ],
  'add and delete entries': [
    ['XADD', stream, '*', 'a', 'b'],
    ['XDEL', stream, '1-1'],
  ],
  'delete dead letters': [['XDEL', dlq, '1-1']],
  // Without a script it answers NOTBUSY, which is no refusal.
  'end a script': [['SCRIPT', 'KILL']],
  'read as a consumer': [['XREADGROUP', 'GROUP', 'g', 'x', 'STREAMS', stream, '>']],
  'write dead letters': [['XADD', dlq, '*', 'a', 'b']],
  XTRIM: [
    ['XTRIM', stream, 'MAXLEN', '0'],
    ['XTRIM', dlq, 'MAXLEN', '0'],
  ],
  'ask its length': [['XLEN', stream]],
};

describe('the table of the users of Redis', () => {
  let acl: AclRedis;
  beforeAll(async () => {
    acl = await startAclRedis(stream);
    await acl.admin.xgroup('CREATE', stream, 'g', '0', 'MKSTREAM');
  });
  afterAll(() => acl.stop());

  test.each(users)('says what %s may and may not do', async (user) => {
    const { may, mayNot } = claimsOf(user);
    const client = acl.connect(user);
    onTestFinished(() => client.disconnect());
    const answer = ([name = '', ...words]: readonly string[]) =>
      client.call(name, ...words).then(String, (error: Error) => error.message);
    for (const claim of may) {
      for (const words of commands[claim] ?? [['NOSUCH', claim]]) {
        expect(await answer(words), claim).not.toMatch(/NOPERM|unknown command/);
      }
    }
    for (const claim of mayNot) {
      for (const words of commands[claim] ?? [['NOSUCH', claim]]) {
        expect(await answer(words), claim).toMatch(/NOPERM/);
      }
    }
  });
});
