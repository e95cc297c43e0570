import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { insertAssignment, insertDevice, readContract } from '../../tools/domain-fixture.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { runCommand } from '../cli/command.ts';
import { dayMs, migrateOptions, migrations, silent } from '../db/positions.ts';
import { ask, hasPsql, needsPsql, type RolesDatabase, rolesDatabase } from './roles.ts';

const domain = { enabled: true, recomputeHorizonMs: 30 * dayMs };
const device = '350000000000001';

describe.skipIf(!hasPsql())('the commands of the domain', { meta: { needs: needsPsql } }, () => {
  let database: RolesDatabase;
  let redis: LocalServer;

  beforeAll(async () => {
    redis = await startRedis();
    database = await rolesDatabase();
    await database.apply();
    const collections = new URL('../../tools/domain/directus-fleet.sql', import.meta.url);
    await ask(
      database.url,
      await readFile(collections, 'utf8'),
      'CREATE SCHEMA processor_contract',
      await readContract('fleet', { domainRole: database.roles.domain }),
    );
    await migrate(migrations, migrateOptions(database.urls.migrator, { domain }), silent);
    const client = new pg.Client(database.url);
    await client.connect();
    await insertAssignment(client, await insertDevice(client, device), null, {
      validFrom: new Date(0),
    });
    await client.end();
  });
  afterAll(async () => {
    await database.drop();
    await redis.stop();
  });

  const run = (url: string, words: readonly string[]) =>
    runCommand(
      {
        REDIS_URL: redis.url,
        POSTGRES_URL: database.urls.writer,
        DOMAIN_POSTGRES_URL: url,
        DOMAIN: 'on',
      },
      ['domain', ...words],
    );

  test.each([
    [['contract']],
    [['status']],
    [['show', '--device', device]],
    [['verify', '--all']],
    [['recompute', '--all', '--dry-run']],
    [['recompute', '--device', device, '--yes']],
    [['recompute', '--all', '--yes']],
    [['pause', '--reason', 'x', '--yes']],
    [['resume', '--yes']],
    [['retry', '--all', '--yes']],
  ])('work with the rights of processor_domain: %j', async (words) => {
    const { code, stderr } = await run(database.urls.domain, words);
    expect([code, stderr]).toEqual([0, '']);
  });

  test('name what is missing with the login of the writer', async () => {
    const { code, stdout, stderr } = await run(database.urls.writer, ['status']);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('42501: a permission is missing: run deploy/sql/roles.sql');
  });
});
