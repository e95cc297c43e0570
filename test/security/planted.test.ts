import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { createRehydrate } from '../../src/db/rehydration.ts';
import { runCommand } from '../cli/command.ts';
import {
  dayMs,
  deviceId,
  migrateOptions,
  migrations,
  openPool,
  position,
  silent,
} from '../db/positions.ts';
import { freshDatabase, freshStream, hasTimescaledb, redisUrl } from '../setup/database.ts';
import { describeHypertable } from '../setup/hypertable.ts';
import { entry } from './entries.ts';
import { marker, plantAll, plantedRuns, plantFunction, timescaleOverloads } from './planted.ts';
import { ask, hasPsql, needsPsql, outcomeOf, rolesDatabase, row } from './roles.ts';

/** Several commands, each a process of its own. */
const commands = { timeout: 60_000 };

async function databaseWithPlanted(): Promise<string> {
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  await ask(url, ...plantAll());
  // The search path that a database has by default, or that an administrator set.
  await ask(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET search_path = public`);
  return url;
}

const environment = (url: string): Record<string, string> => {
  const { key, group } = freshStream();
  return {
    REDIS_URL: redisUrl(),
    POSTGRES_URL: url,
    REDIS_TELEMETRY_STREAM: key,
    REDIS_CONSUMER_GROUP: group,
    RETENTION: '30d',
  };
};

describe.skipIf(!hasPsql())(
  'deploy/sql/roles.sql beside what other roles made',
  { meta: { needs: needsPsql } },
  () => {
    test('runs none of it, and neither do the roles that it makes', async () => {
      const database = await rolesDatabase();
      onTestFinished(() => database.drop());
      const intruder = `${database.roles.writer}_intruder`;
      await ask(
        database.url,
        `CREATE ROLE ${intruder}`,
        `GRANT CREATE ON SCHEMA public TO ${intruder}`,
      );
      onTestFinished(async () => {
        await ask(database.url, `DROP OWNED BY ${intruder} CASCADE; DROP ROLE ${intruder}`);
      });
      await ask(database.url, `SET ROLE ${intruder}`, ...plantAll());

      await database.apply();
      await migrate(migrations, migrateOptions(database.urls.migrator), silent);
      await database.apply();

      const columns = "pg_catalog.unnest(ARRAY['350000000000001']) AS device_id";
      expect(await outcomeOf(database.urls.writer, row)).toBe('done');
      // What a careless statement of a person would find, were public in the search path.
      const careless = columns.replace('pg_catalog.', '');
      expect(await outcomeOf(database.urls.writer, `SELECT ${careless}`)).toBe('done');
      expect(await outcomeOf(database.urls.reader, `SELECT ${careless}`)).toBe('done');
      expect(await plantedRuns(database.url)).toBe(0);
    });

    test('does not take over what another role made, unless it is named', async () => {
      const database = await rolesDatabase();
      onTestFinished(() => database.drop());
      const other = `${database.roles.writer}_other`;
      const name = new URL(database.url).pathname.slice(1);
      await ask(
        database.url,
        `CREATE ROLE ${other}`,
        `GRANT CREATE ON DATABASE ${name} TO ${other}`,
      );
      onTestFinished(async () => {
        await ask(database.url, `DROP OWNED BY ${other} CASCADE; DROP ROLE ${other}`);
      });
      await ask(
        database.url,
        `SET ROLE ${other}`,
        'CREATE SCHEMA positions',
        'CREATE FUNCTION positions.mine() RETURNS text LANGUAGE sql SECURITY DEFINER RETURN current_user',
      );

      await expect(database.apply()).rejects.toThrow(`belongs to the role ${other}`);
      await database.apply({ variables: { adopt: other } });
      expect(
        await ask(
          database.url,
          "SELECT nspowner::regrole::text AS owner FROM pg_namespace WHERE nspname = 'positions'",
        ),
      ).toEqual([{ owner: database.roles.migrator }]);
    });

    test('asks no view of TimescaleDB where there is no TimescaleDB', async ({ skip }) => {
      if (hasTimescaledb()) skip('the server offers TimescaleDB');
      const database = await rolesDatabase();
      onTestFinished(() => database.drop());
      await ask(
        database.url,
        marker,
        plantFunction('planted() RETURNS text'),
        'CREATE SCHEMA timescaledb_information',
        `CREATE VIEW timescaledb_information.continuous_aggregates AS
           SELECT public.planted() AS view_schema, 'x'::text AS view_name`,
      );

      await database.apply();
      expect(await plantedRuns(database.url)).toBe(0);
    });

    test('limits the connections of each role', async () => {
      const database = await rolesDatabase();
      onTestFinished(() => database.drop());
      const limits = () =>
        ask<{ limit: number }>(
          database.url,
          `SELECT rolconnlimit AS limit FROM pg_roles WHERE rolname IN
           ('${Object.values(database.roles).join("', '")}') ORDER BY rolname`,
        ).then((rows) => rows.map(({ limit }) => limit));
      await database.apply();
      expect(await limits()).toEqual([30, 10, 50, 50]);
      await database.apply({ variables: { writer_connections: '0' } });
      expect(await limits()).toEqual([30, 10, 50, 0]);
      expect(await outcomeOf(database.urls.writer, 'SELECT 1')).toBe('53300');
    });
  },
);

describe('the service beside what other roles made', () => {
  test('the migrator, the writer and the look-ups run none of it', async () => {
    const url = await databaseWithPlanted();
    await migrate(migrations, migrateOptions(url), silent);
    const database = openPool(url);
    const writer = createPositionWriter(database, {
      chunkIntervalMs: dayMs,
      maxChunksPerStatement: 48,
      mayBeCompressed: () => true,
    });
    const now = Date.now();
    const rows = [position({ ts: now }), position({ ts: now, deviceId: deviceId(2) })];
    const refused = position({ ts: now - 1, speed: -1 });
    await writer.write(rows, [null, null]);
    await writer.write([...rows, refused], [null, null, null]);
    const range = { fromMs: now - dayMs, toMs: now + dayMs };
    const found = await createRehydrate(database)([deviceId(1)], range);

    expect(found.size).toBe(1);
    expect(await plantedRuns(url)).toBe(0);
  });

  test('no command runs any of it', commands, async () => {
    const url = await databaseWithPlanted();
    const env = environment(url);
    const redis = new Redis(redisUrl());
    onTestFinished(() => redis.disconnect());
    await redis.xadd(env.REDIS_TELEMETRY_STREAM ?? '', '*', ...entry(0));
    for (const words of [
      ['migrate', 'up', '--yes'],
      ['migrate', 'status'],
      ['doctor'],
      ['retention', '--yes'],
      ['device', 'show', deviceId(1)],
      ['verify', '--from', '1h'],
    ]) {
      const { stdout, stderr } = await runCommand(env, words);
      expect(`${stdout}${stderr}`, words.join(' ')).not.toContain('P0001');
    }
    expect(await plantedRuns(url)).toBe(0);
  });
});

describeHypertable('functions named like TimescaleDB’s', (fresh) => {
  test.each(timescaleOverloads)('%s is never called', async (signature) => {
    const { url, drop } = await fresh();
    onTestFinished(drop);
    const tables = { retentionMs: 3650 * dayMs, aggregates: true };
    await ask(url, marker, plantFunction(signature));
    const migrating = () => migrate(migrations, migrateOptions(url, tables), silent);
    const message = expect.stringContaining(signature.split('(')[0] ?? '');

    await expect(migrating()).rejects.toMatchObject({
      kind: 'configuration',
      code: 'FOREIGN_FUNCTION',
      message,
    });
    expect(await plantedRuns(url)).toBe(0);
    await ask(url, `DROP FUNCTION public.${signature.replace(/ RETURNS.*/, '')}`);
    await migrating();
    expect(await plantedRuns(url)).toBe(0);
  });
});

test('the table of the first migration is as the file says, in public', async () => {
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  const [first] = migrations;
  const shape = (schema: string) =>
    ask(
      url,
      `SELECT (SELECT array_agg(ROW (attname, atttypid::regtype, attnotnull)::text ORDER BY attnum)
                 FROM pg_attribute WHERE attrelid = t AND attnum > 0) AS columns,
              (SELECT array_agg(conname || ' ' || pg_get_constraintdef(oid) ORDER BY conname)
                 FROM pg_constraint WHERE conrelid = t) AS constraints,
              (SELECT array_agg(ROW (objsubid, description)::text ORDER BY objsubid)
                 FROM pg_description WHERE objoid = t) AS comments,
              (SELECT array_agg(replace(pg_get_indexdef(indexrelid), '${schema}.', ''))
                 FROM pg_index WHERE indrelid = t) AS indexes
         FROM (SELECT '${schema}.positions'::regclass AS t) AS it`,
    );
  await ask(url, 'CREATE SCHEMA by_hand', 'SET search_path = by_hand', first?.sql ?? '');
  const wanted = await shape('by_hand');

  await migrate(migrations.slice(0, 1), migrateOptions(url), silent);
  expect(await shape('public')).toEqual(wanted);
});
