import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { freshStream, redisUrl } from '../setup/database.ts';
import { entry, imei } from './entries.ts';
import { ask, hasPsql, needsPsql, type RolesDatabase, rolesDatabase } from './roles.ts';

describe.skipIf(!hasPsql())(
  'the service with the roles of deploy/sql/roles.sql',
  { meta: { needs: needsPsql } },
  () => {
    let database: RolesDatabase;
    let redis: Redis;
    beforeAll(async () => {
      redis = new Redis(redisUrl());
      database = await rolesDatabase();
      await database.apply();
    });
    afterAll(async () => {
      redis.disconnect();
      await database.drop();
    });

    test('runs as the writer: it stores, compares, rehydrates; the migrator migrates', async () => {
      const { key, group } = freshStream();
      const plain = new URL(database.urls.writer);
      plain.password = '';
      const migrating = new URL(database.urls.migrator);
      migrating.password = '';
      const env = {
        REDIS_URL: redisUrl(),
        REDIS_TELEMETRY_STREAM: key,
        REDIS_CONSUMER_GROUP: group,
        CONSUMER_NAME: 'one',
        POSTGRES_URL: plain.href,
        POSTGRES_PASSWORD: database.passwords.writer,
      };
      const outcome = (service: RunningService, name: string, count: number) =>
        eventually(`${count} ${name}`, async () => {
          const series = `processor_records_total{outcome="${name}"}`;
          return (await service.metric(series)) === count ? true : undefined;
        });
      const send = async (count: number, changes: object = {}) => {
        for (let index = 0; index < count; index += 1) {
          await redis.xadd(key, '*', ...entry(index, changes));
        }
      };

      const first = startService({
        ...env,
        MIGRATION_POSTGRES_URL: migrating.href,
        MIGRATION_POSTGRES_PASSWORD: database.passwords.migrator,
      });
      onTestFinished(async () => {
        await first.end('SIGKILL');
      });
      await first.untilReady();
      // One after the other, because two writers may store two batches in either order.
      await send(20);
      await outcome(first, 'inserted', 20);
      await send(20);
      await outcome(first, 'duplicate', 20);
      await send(5, { speed: 99 });
      await outcome(first, 'conflict', 5);
      expect(await first.end('SIGTERM')).toBe(0);

      const second = startService({ ...env, MIGRATIONS: 'verify' });
      onTestFinished(async () => {
        await second.end('SIGKILL');
      });
      await second.untilReady();
      await send(20);
      await outcome(second, 'duplicate', 20);
      expect(await second.metric('processor_rehydrations_total{result="found"}')).toBe(5);
      const latest = await ask(
        database.urls.reader,
        `SELECT device_id FROM positions.last_position(ARRAY['${imei(0)}'])`,
      );
      expect(latest).toEqual([{ device_id: imei(0) }]);
      expect(await second.end('SIGTERM')).toBe(0);
      expect([...first.logs, ...second.logs].filter(({ level }) => level === 'error')).toEqual([]);
    });

    test('does not start as the writer where something is to be migrated', async () => {
      const other = await rolesDatabase();
      onTestFinished(() => other.drop());
      await other.apply();
      const service = startService({
        REDIS_URL: redisUrl(),
        REDIS_TELEMETRY_STREAM: freshStream().key,
        CONSUMER_NAME: 'one',
        POSTGRES_URL: other.urls.writer,
        MIGRATIONS: 'verify',
      });

      expect(await service.end('SIGCONT')).toBe(1);
      expect(service.logs.at(-1)).toMatchObject({ level: 'error', code: 'pending' });
    });
  },
);
