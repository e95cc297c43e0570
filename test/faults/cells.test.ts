import { Client } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { startRedis } from '../../tools/servers/servers.ts';
import { runCommand } from '../cli/command.ts';
import { freshDatabase } from '../setup/database.ts';
import { report, testLimitMs, times } from './scenario.ts';
import { openSpreadScenario } from './spread-scenario.ts';

const shards = 8;
const cells = ['0-3', '4-7'];

test(
  'two cells on two databases: each device is in exactly one, and verify is clean in both',
  async () => {
    const redis = await startRedis({ durability: 'real' });
    onTestFinished(() => redis.stop());
    const databases = await Promise.all(cells.map(() => freshDatabase()));
    for (const { drop } of databases) onTestFinished(drop);
    const urls = databases.map(({ url }) => url);
    const servers = {
      url: redis.url,
      find: (keys: readonly string[]) => Promise.resolve(keys.map(() => redis)),
    };
    const scenario = await openSpreadScenario({ servers, shards, databases: urls });
    const cellEnv = (index: number) => ({
      READ_SHARDS: cells[index] ?? '',
      POSTGRES_URL: urls[index] ?? '',
    });
    const services = cells.flatMap((_, index) =>
      ['one', 'two'].map((name) => scenario.start(`cell-${index}-${name}`, cellEnv(index))),
    );
    await Promise.all(services.map((service) => service.untilReady()));
    const count = times(1_000, 50_000);
    await scenario.sender.send(Array.from({ length: count }, () => scenario.fleet.next()));
    await scenario.untilSettled();

    for (const index of cells.keys()) {
      const env = { REDIS_URL: redis.url, STREAM_SHARDS: String(shards), TIMESCALEDB: 'optional' };
      const verified = await runCommand({ ...env, ...cellEnv(index) }, ['verify', '--from', '1h']);
      expect(verified, verified.stdout).toMatchObject({ code: 0 });
    }
    const devices = await Promise.all(urls.map(devicesIn));
    const all = devices.flat();
    expect(devices.every(({ length }) => length > 0)).toBe(true);
    expect(new Set(all).size).toBe(all.length);
    const check = await scenario.finish();
    report('cells', { devices: devices.map(({ length }) => length), ...check });
  },
  testLimitMs,
);

async function devicesIn(connectionString: string): Promise<readonly string[]> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string }>(
      'SELECT DISTINCT device_id AS id FROM public.positions',
    );
    return rows.map(({ id }) => id);
  } finally {
    await client.end();
  }
}
