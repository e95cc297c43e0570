import { crc32 } from 'node:zlib';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { slotOf } from '../../src/stream/hash-slot.ts';
import { shardKey } from '../../src/stream/shards.ts';
import { startCluster } from '../../tools/servers/cluster.ts';
import { eventually, startService } from '../../tools/service.ts';
import { freshDatabase } from '../setup/database.ts';

const count = 6;
const stream = 'telemetry:teltonika';

test('a node that hangs at the start delays only its shards, which are read once it answers', async () => {
  const cluster = await startCluster({ nodes: 3, replicas: 0 });
  onTestFinished(() => cluster.stop());
  const database = await freshDatabase();
  onTestFinished(() => database.drop());
  const shards = Array.from({ length: count }, (_, shard) => shard);
  const owners = await cluster.ownersOf(shards.map((shard) => slotOf(shardKey(stream, shard))));
  const [away] = owners;
  const lost = shards.filter((shard) => owners[shard] === away);
  const others = shards.filter((shard) => owners[shard] !== away);
  expect(Math.min(lost.length, others.length)).toBeGreaterThan(0);
  await away?.kill('SIGSTOP');

  const service = startService({
    REDIS_URL: cluster.url,
    POSTGRES_URL: database.url,
    CONSUMER_NAME: 'one',
    STREAM_SHARDS: String(count),
    READ_BLOCK_MS: '200',
    REDIS_CONNECT_TIMEOUT_MS: '1000',
    REDIS_COMMAND_TIMEOUT_MS: '1000',
  });
  onTestFinished(async () => void (await service.end('SIGKILL')));
  await eventually('the other shards are read', () =>
    service.logs.find(({ msg }) => msg === 'reading begins'),
  );
  const settled = async (of: readonly number[]) => {
    const metric = await service.metrics();
    return of.map((shard) => metric(`processor_shard_records_settled_total{shard="${shard}"}`));
  };
  for (const shard of others) await add(await portOf(shard), shard);
  await eventually('they are settled', async () =>
    (await settled(others)).every((one) => one === 1) ? true : undefined,
  );
  expect(await settled(lost)).toEqual(lost.map(() => 0));
  expect(await service.health('ready')).toBe(503);

  await away?.kill('SIGCONT');
  await cluster.untilWhole();
  await service.untilReady();
  for (const shard of lost) await add(await portOf(shard), shard);
  await eventually('its shards are settled', async () =>
    (await settled(lost)).every((one) => one === 1) ? true : undefined,
  );
  expect(await service.end('SIGTERM')).toBe(0);

  async function portOf(shard: number): Promise<string> {
    return (await cluster.ownerOf(slotOf(shardKey(stream, shard)))).url;
  }
});

/** Adds a frame entry with a message, which stores nothing: this test is about reading. */
async function add(url: string, shard: number): Promise<void> {
  const redis = new Redis(url);
  try {
    const fields = ['device_id', device(shard), 'frame_hex', message];
    await redis.xadd(shardKey(stream, shard), '*', ...fields);
  } finally {
    redis.disconnect();
  }
}

const message = '000000000000000F0C010500000007676574696E666F0100004312';

function device(shard: number): string {
  for (let serial = 350_000_000_000_000; ; serial += 1) {
    if (crc32(String(serial)) % count === shard) return String(serial);
  }
}
