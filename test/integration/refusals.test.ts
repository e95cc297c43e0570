import type { Redis } from 'ioredis';
import type { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { connect as connectDatabase, migrateOptions, migrations } from '../db/positions.ts';
import { freshDatabase, freshStream, redisUrl } from '../setup/database.ts';
import { connect, silent } from '../stream/entries.ts';

interface Running {
  readonly service: RunningService;
  readonly client: Client;
  readonly redis: Redis;
  readonly key: string;
  send(device: number): Promise<void>;
  untilStored(rows: number): Promise<void>;
  deadLetters(): Promise<number>;
  /** The body of /health/ready. */
  ready(): Promise<string>;
}

async function running(): Promise<Running> {
  const { key, group } = freshStream();
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  await migrate(migrations, migrateOptions(url), silent);
  const client = await connectDatabase(url);
  const redis = connect();
  const service = startService({
    REDIS_URL: redisUrl(),
    POSTGRES_URL: url,
    CONSUMER_NAME: 'one',
    READ_BLOCK_MS: '100',
    REDIS_TELEMETRY_STREAM: key,
    REDIS_CONSUMER_GROUP: group,
  });
  onTestFinished(async () => {
    await service.end('SIGKILL');
  });
  await service.untilReady();
  let sent = 0;
  return {
    service,
    client,
    redis,
    key,
    async send(device) {
      const device_id = String(350_000_000_000_000 + device);
      sent += 1;
      const timestamp = new Date(Date.now() - sent * 1000).toISOString();
      const place = { latitude: 54.7, longitude: 25.3, altitude: 1, angle: 2, speed: 3 };
      const rest = { satellites: 9, priority: 0, attributes: {} };
      const payload = JSON.stringify({ device_id, timestamp, ...place, ...rest });
      const fields = { device_id, ts: timestamp, codec: '8', payload };
      await redis.xadd(key, '*', ...Object.entries(fields).flat());
    },
    async untilStored(rows) {
      await eventually(`${rows} rows are stored`, async () => {
        const found = await client.query('SELECT FROM public.positions');
        return found.rowCount === rows ? true : undefined;
      });
    },
    deadLetters: () => redis.xlen(`${key}:dlq`),
    ready: async () => await (await fetch(`${await service.url()}/health/ready`)).text(),
  };
}

describe('a NOT NULL column of another application (F7)', () => {
  test('stops reading, dead-letters nothing, is named, and reading resumes once it is gone', async () => {
    const { service, client, send, untilStored, deadLetters, ready } = await running();
    await send(1);
    await untilStored(1);
    await client.query(`ALTER TABLE public.positions ADD COLUMN tenant int DEFAULT 0;
      ALTER TABLE public.positions ALTER COLUMN tenant SET NOT NULL, ALTER COLUMN tenant DROP DEFAULT`);

    for (let device = 1; device <= 20; device += 1) await send(device);
    const line = await eventually('the failure is logged', () =>
      service.logs.find(({ kind, code }) => kind === 'configuration' && code === '23502'),
    );
    await eventually('several attempts have failed', async () =>
      (await service.metric('processor_retries_total{dependency="database"}')) >= 4
        ? true
        : undefined,
    );

    expect(JSON.stringify(line)).toContain('column tenant of positions is NOT NULL');
    expect(await service.health('ready')).toBe(503);
    expect(await ready()).toContain('configuration: 23502');
    expect(await deadLetters()).toBe(0);

    await client.query('ALTER TABLE public.positions DROP COLUMN tenant');
    await untilStored(21);
    await service.untilReady();
    expect(await deadLetters()).toBe(0);
  });
});

describe('a trigger that skips the rows of one device (F6)', () => {
  test('costs that device a dead letter, and the fleet goes on, one row a batch', async () => {
    const { service, client, redis, key, send, untilStored } = await running();
    await client.query(`
      CREATE FUNCTION skip_one() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.device_id = '350000000000666' THEN RETURN NULL; END IF; RETURN NEW; END $$;
      CREATE TRIGGER skip_one BEFORE INSERT ON public.positions FOR EACH ROW EXECUTE FUNCTION skip_one()`);

    await send(666);
    const [[, fields] = ['', []]] = await eventually('the dead letter is there', async () => {
      const found = await redis.xrange(`${key}:dlq`, '-', '+');
      return found.length > 0 ? found : undefined;
    });
    await send(1);
    await untilStored(1);

    expect(fields.join(' ')).toContain('row_skipped');
    expect(fields.join(' ')).toContain('trigger skip_one');
    expect(await service.health('ready')).toBe(200);
  });
});
