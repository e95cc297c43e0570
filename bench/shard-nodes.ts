/**
 * CPU of the Redis servers an entry, with the service reading two shards, from one node of a cluster and
 * from two: `node bench/shard-nodes.ts`. SHARD_BENCH_ENTRIES (20000) a round, SHARD_BENCH_ROUNDS (3).
 * The variants take turns, because only their ratio is a property of the product on a shared machine.
 */
import { Redis } from 'ioredis';
import { createFleet } from '../src/simulator/fleet.ts';
import { plainHabits } from '../src/simulator/habits.ts';
import { shardKey } from '../src/stream/shards.ts';
import { commandRedis, infoField } from '../tools/servers/ask.ts';
import { type Cluster, startCluster } from '../tools/servers/cluster.ts';
import type { LocalServer } from '../tools/servers/local-server.ts';
import { openRunFolder } from '../tools/servers/run-folder.ts';
import { startPostgres } from '../tools/servers/servers.ts';
import { eventually, startService } from '../tools/service.ts';

const entryCount = Number(process.env.SHARD_BENCH_ENTRIES ?? 20_000);
const rounds = Number(process.env.SHARD_BENCH_ROUNDS ?? 3);
const stream = 'telemetry:teltonika';

interface Costs {
  /** CPU seconds of each node for 100,000 entries, the busiest first. */
  readonly cpu: readonly number[];
}

const folder = await openRunFolder();
const cluster = await startCluster({ nodes: 2, replicas: 0 });
const postgres = await startPostgres({ durability: 'test' });
try {
  const slots = await slotsByNode(cluster);
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, shards] of Object.entries({
      '2 shards on one node': slots.onOne,
      '2 shards on two nodes': slots.onTwo,
    })) {
      say({ round, name, ...(await measureDrain(shards)) });
    }
  }
} finally {
  await postgres.stop();
  await cluster.stop();
  await folder.close();
}

function say(numbers: object): void {
  process.stdout.write(`${JSON.stringify(numbers)}\n`);
}

/** Two shards whose streams one node owns, and two that two nodes own. */
async function slotsByNode({ nodes, ownersOf }: Cluster) {
  const [first] = nodes;
  if (first === undefined) throw new RangeError('a cluster has nodes');
  const numbers = Array.from({ length: 8 }, (_, shard) => shard);
  const slots = await Promise.all(
    numbers.map((shard) => commandRedis(first.url, 'CLUSTER', 'KEYSLOT', shardKey(stream, shard))),
  );
  const owners = await ownersOf(slots.map(Number));
  const ofFirst = numbers.filter((shard) => owners[shard] === first);
  const ofOther = numbers.filter((shard) => owners[shard] !== first);
  return { onOne: ofFirst.slice(0, 2), onTwo: [ofFirst[0] ?? 0, ofOther[0] ?? 1] };
}

async function measureDrain(shards: readonly number[]): Promise<Costs> {
  for (const { url } of cluster.nodes) await commandRedis(url, 'FLUSHALL');
  for (const shard of shards) await fill(shard, entryCount / shards.length);
  const before = await cpuOf(cluster.nodes);
  const service = startService({ ...environment(), READ_SHARDS: shards.join() });
  try {
    await eventually('everything is settled', async () => {
      const value = await service.metrics();
      const settled = ['inserted', 'duplicate', 'conflict'].map((outcome) =>
        value(`processor_records_total{outcome="${outcome}"}`),
      );
      return settled.reduce((sum, count) => sum + count, 0) >= entryCount ? true : undefined;
    });
    const after = await cpuOf(cluster.nodes);
    const cpu = after.map((seconds, index) => perHundredThousand(seconds - (before[index] ?? 0)));
    return { cpu: cpu.toSorted((a, b) => b - a) };
  } finally {
    await service.end('SIGTERM');
  }
}

function perHundredThousand(seconds: number): number {
  return Math.round((seconds * 1e7) / entryCount) / 100;
}

function environment() {
  return {
    REDIS_URL: cluster.url,
    POSTGRES_URL: postgres.url,
    STREAM_SHARDS: '8',
    CONSUMER_NAME: 'bench',
  };
}

async function fill(shard: number, count: number): Promise<void> {
  const key = shardKey(stream, shard);
  const slot = Number(await commandRedis(cluster.nodes[0]?.url ?? '', 'CLUSTER', 'KEYSLOT', key));
  const fleet = createFleet({
    seed: shard,
    baseTime: Date.now(),
    devices: 500,
    form: 'a',
    packetRecords: 1,
    habits: plainHabits,
    expectedRecords: count,
  });
  const client = new Redis((await cluster.ownerOf(slot)).url, { protocol: 2 });
  try {
    for (let sent = 0; sent < count; sent += 500) {
      const pipeline = client.pipeline();
      for (let index = 0; index < 500; index += 1) {
        pipeline.call('XADD', key, '*', ...fleet.next().fields);
      }
      await pipeline.exec();
    }
  } finally {
    client.disconnect();
  }
}

async function cpuOf(nodes: readonly LocalServer[]): Promise<readonly number[]> {
  return await Promise.all(
    nodes.map(async ({ url }) => {
      const info = await commandRedis(url, 'INFO', 'cpu');
      return Number(infoField(info, 'used_cpu_user')) + Number(infoField(info, 'used_cpu_sys'));
    }),
  );
}
