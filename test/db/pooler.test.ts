import { Redis } from 'ioredis';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Outcomes } from '../../src/core/types.ts';
import { migrate } from '../../src/db/migrator.ts';
import { openDatabase } from '../../src/db/pool.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { hasPooler, needsPooler, startPooler } from '../../tools/servers/pooler.ts';
import type { LocalServer } from '../../tools/servers/servers.ts';
import { eventually, startService } from '../../tools/service.ts';
import { type FreshDatabase, freshDatabase, freshStream, redisUrl } from '../setup/database.ts';
import {
  dayMs,
  deviceId,
  migrateOptions,
  migrations,
  position,
  silent,
  someTime,
} from './positions.ts';

describe.skipIf(!hasPooler())(
  'behind a transaction pooler',
  { meta: { needs: needsPooler } },
  () => {
    let database: FreshDatabase;
    let pooler: LocalServer;
    beforeAll(async () => {
      database = await freshDatabase();
      pooler = await startPooler(database.url);
    });
    afterAll(async () => {
      await pooler.stop();
      await database.drop();
    });

    function open(insertDeadlineMs = 20_000) {
      return openDatabase(
        {
          url: pooler.url,
          tls: null,
          applicationName: 'processor:test',
          size: 6,
          connectTimeoutMs: 5000,
          statementTimeoutMs: 15_000,
          lockTimeoutMs: 10_000,
          deadlineMs: insertDeadlineMs,
        },
        silent,
      );
    }

    async function ask<Row extends object>(sql: string): Promise<Row[]> {
      const client = new Client(database.url);
      await client.connect();
      const { rows } = await client.query<Row>(sql);
      await client.end();
      return rows;
    }

    test('five instances that migrate at once apply each migration once', async () => {
      const runs = Array.from({ length: 5 }, () =>
        migrate(migrations, migrateOptions(pooler.url), silent),
      );
      const applied = (await Promise.all(runs)).flatMap((result) => result.applied);

      expect(applied.toSorted()).toEqual(migrations.map(({ name }) => name));
    });

    test('more writers than server connections store every row once', async () => {
      await migrate(migrations, migrateOptions(pooler.url), silent);
      const pools = [open(), open()];
      const writers = pools.map((pool) =>
        createPositionWriter(pool, { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 }),
      );
      const batches = Array.from({ length: 24 }, (_, batch) =>
        Array.from({ length: 200 }, (_row, index) =>
          position({ deviceId: deviceId(batch % 12), ts: someTime + index, recordIndex: index }),
        ),
      );
      const outcomes = await Promise.all(
        batches.map(async (rows, batch) => {
          const found: Outcomes = rows.map(() => null);
          await writers[batch % 2]?.write(rows, found);
          return found;
        }),
      );
      await Promise.all(pools.map((pool) => pool.close(1000)));

      const all = outcomes.flat();
      // Each device's rows came in two batches.
      expect(all.filter((outcome) => outcome === 'inserted')).toHaveLength(2400);
      expect(all.filter((outcome) => outcome === 'duplicate')).toHaveLength(2400);
      expect(await ask('SELECT count(*)::int AS n FROM public.positions')).toEqual([{ n: 2400 }]);
    });

    test('a statement that the server holds up ends at our own deadline', async () => {
      const pool = open(700);
      const since = performance.now();
      await expect(
        pool.use(async (client) => {
          await client.query('SELECT pg_sleep(20)');
        }),
      ).rejects.toThrow(/timeout/);
      expect(performance.now() - since).toBeLessThan(5000);
      await pool.close(100);
    });

    test('two services start at once, one migrates past the pooler, and both work', async () => {
      // Nothing of the tests before, and no session that still knows an extension that was dropped.
      await pooler.stop();
      await database.drop();
      database = await freshDatabase();
      pooler = await startPooler(database.url);
      const { key, group } = freshStream();
      const redis = new Redis(redisUrl());
      const env = {
        REDIS_URL: redisUrl(),
        POSTGRES_URL: pooler.url,
        MIGRATION_POSTGRES_URL: database.url,
        REDIS_TELEMETRY_STREAM: key,
        REDIS_CONSUMER_GROUP: group,
      };
      const services = ['one', 'two'].map((name) => startService({ ...env, CONSUMER_NAME: name }));
      try {
        await Promise.all(services.map((service) => service.untilReady()));
        for (let index = 0; index < 300; index += 1) {
          const device_id = deviceId(index);
          const timestamp = new Date(someTime).toISOString();
          const place = { latitude: 54.7, longitude: 25.3, altitude: 1, angle: 2, speed: 3 };
          const payload = { device_id, timestamp, ...place, satellites: 9, priority: 0 };
          const text = JSON.stringify({ ...payload, attributes: {} });
          const fields = { device_id, ts: timestamp, codec: '8', payload: text };
          await redis.xadd(key, '*', ...Object.entries(fields).flat());
        }
        await eventually('all rows are stored', async () => {
          const [found] = await ask<{ n: number }>(
            'SELECT count(*)::int AS n FROM public.positions',
          );
          return found?.n === 300 ? true : undefined;
        });
      } finally {
        redis.disconnect();
        for (const service of services) await service.end('SIGKILL');
      }
    });
  },
);
