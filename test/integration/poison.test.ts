import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { expect, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { migrateOptions, migrations } from '../db/positions.ts';
import { freshDatabase, freshStream, redisUrl } from '../setup/database.ts';
import { connect, silent } from '../stream/entries.ts';

const script = fileURLToPath(new URL('./fixtures/poisoned.ts', import.meta.url));
const goodEntries = 40;

test('an entry that crashes the process is dead-lettered alone; its neighbours are stored, each once', async () => {
  const { key, group } = freshStream();
  const redis = connect();
  const database = await freshDatabase();
  await migrate(migrations, migrateOptions(database.url), silent);
  for (let index = 0; index < goodEntries; index += 1) {
    const device_id = String(350_000_000_000_000 + index);
    const timestamp = '2026-11-01T00:00:00.000Z';
    const place = { latitude: 54.7, longitude: 25.3, altitude: 1, angle: 2, speed: 3 };
    const rest = { satellites: 9, priority: 0, attributes: {} };
    const payload = JSON.stringify({ device_id, timestamp, ...place, ...rest });
    await redis.xadd(
      key,
      '*',
      'device_id',
      device_id,
      'ts',
      timestamp,
      'codec',
      '8',
      'payload',
      payload,
    );
    if (index === 20) await redis.xadd(key, '*', 'device_id', device_id, 'frame', 'poison');
  }

  const lives: string[] = [];
  for (;;) {
    const child = spawn(process.execPath, [script], {
      env: {
        PATH: process.env.PATH,
        REDIS_URL: redisUrl(),
        POSTGRES_URL: database.url,
        REDIS_TELEMETRY_STREAM: key,
        REDIS_CONSUMER_GROUP: group,
        CONSUMER_NAME: 'one',
        MAX_DELIVERIES: '2',
        READ_BLOCK_MS: '100',
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const ended = once(child, 'exit');
    const settled = untilNothingPending();
    const how = await Promise.race([ended.then(() => 'died'), settled.result]);
    settled.stop();
    lives.push(how);
    if (how === 'died') continue;
    child.kill('SIGTERM');
    await ended;
    break;
  }

  // Twice among its neighbours, three times in isolation; then it is dead-lettered.
  expect(lives).toEqual(['died', 'died', 'died', 'died', 'died', 'settled']);
  const letters = await redis.xrange(`${key}:dlq`, '-', '+');
  expect(letters.map(([, fields]) => fields[fields.indexOf('reason') + 1])).toEqual([
    'deliveries_exhausted',
  ]);
  const client = new pg.Client(database.url);
  await client.connect();
  const { rows } = await client.query('SELECT count(*)::int AS count FROM public.positions');
  await client.end();
  expect(rows).toEqual([{ count: goodEntries }]);
  expect(await redis.exists(`${key}:control:suspects`)).toBe(0);
  await database.drop();

  function untilNothingPending() {
    let isStopped = false;
    const look = async (): Promise<string> => {
      while (!isStopped) {
        const [info] = (await redis.xinfo('GROUPS', key).catch(() => [])) as unknown[][];
        const delivered = info?.[info.indexOf('last-delivered-id') + 1];
        const [newest] = await redis.xrevrange(key, '+', '-', 'COUNT', 1);
        // Asked last: entries that are delivered between the two questions are pending by then.
        const summary = (await redis.xpending(key, group).catch(() => [1])) as [number];
        if (summary[0] === 0 && delivered === newest?.[0]) return 'settled';
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return 'stopped';
    };
    return {
      result: look(),
      stop() {
        isStopped = true;
      },
    };
  }
});
