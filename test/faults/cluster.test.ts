import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Cluster, startCluster } from '../../tools/servers/cluster.ts';
import type { LocalServer } from '../../tools/servers/local-server.ts';
import type { RunningService } from '../../tools/service.ts';
import { eventually, isFull, report, testLimitMs, times } from './scenario.ts';
import { serversOfCluster, slotOf } from './server-set.ts';
import { openSpreadScenario, shardNames } from './spread-scenario.ts';

const shards = 8;
const rate = times(500, 2_000);
const streams = shardNames(shards);
const openMs = times(1_000, 10_000);

describe('a cluster of three primaries and three replicas, 8 shards, two instances under load', () => {
  test(
    'a primary dies while other shards continue, slots move, a node joins, and all are restarted',
    async () => {
      const { cluster, scenario, services } = await openUnderLoad();
      const victim = await cluster.ownerOf(await slotOf(cluster, streams[0] ?? ''));
      const others = await shardsElsewhere(cluster, victim);
      expect(others.length).toBeGreaterThan(0);
      expect(others.length).toBeLessThan(shards);
      const killed = await killAndWatch(cluster, services, victim, others);
      // Each second of the outage, each shard of another node settled records.
      expect(killed.leastOfOthers).toBeGreaterThan(0);
      await victim.restart();
      await cluster.untilWhole();

      const slots = await Promise.all(streams.map((name) => slotOf(cluster, name)));
      const [moved = 0] = slots;
      await cluster.moveSlots([moved], await otherPrimary(cluster, moved), { openMs });
      await untilAllSettle(services);

      const rebalanced = isFull ? await addAndRebalance(cluster, services, slots) : 0;
      for (let round = 0; round < times(1, 5); round += 1) await restartAll(cluster, services);
      report('cluster', { rate, killed, rebalanced, ...(await scenario.finish()) });
    },
    testLimitMs,
  );
});

/** A quarter of all slots go to a new node, those of two shards among them. @returns how many */
async function addAndRebalance(
  cluster: Cluster,
  services: readonly RunningService[],
  [first = 0, ...others]: readonly number[],
): Promise<number> {
  const added = await cluster.addNode();
  const everyFourth = Array.from({ length: 4_096 }, (_, index) => index * 4);
  const slots = [...new Set([...everyFourth, first, ...others.slice(0, 1)])];
  await cluster.moveSlots(slots, added, { openMs: 100 });
  expect(await cluster.ownerOf(first)).toBe(added);
  await untilAllSettle(services);
  return slots.length;
}

async function restartAll(cluster: Cluster, services: readonly RunningService[]): Promise<void> {
  await Promise.all(cluster.nodes.map((node) => node.kill('SIGKILL')));
  await sleep(times(500, 5_000));
  await Promise.all(cluster.nodes.map((node) => node.restart()));
  await cluster.untilWhole();
  await untilAllSettle(services);
}

async function openUnderLoad() {
  const cluster = await startCluster();
  onTestFinished(() => cluster.stop());
  const scenario = await openSpreadScenario({ servers: serversOfCluster(cluster), shards });
  const services = [scenario.start('one'), scenario.start('two')];
  await Promise.all(services.map((service) => service.untilReady()));
  scenario.sender.start(scenario.fleet, rate);
  await untilAllSettle(services);
  return { cluster, scenario, services };
}

async function shardsElsewhere(cluster: Cluster, node: LocalServer): Promise<readonly number[]> {
  const slots = await Promise.all(streams.map((name) => slotOf(cluster, name)));
  const owners = await cluster.ownersOf(slots);
  return owners.flatMap((owner, shard) => (owner === node ? [] : [shard]));
}

interface Killed {
  readonly failoverMs: number;
  /** The smallest number of records that a shard of another node settled in one second of the outage. */
  readonly leastOfOthers: number;
  readonly allSettleMs: number;
}

async function killAndWatch(
  cluster: Cluster,
  services: readonly RunningService[],
  victim: LocalServer,
  others: readonly number[],
): Promise<Killed> {
  const slot = await slotOf(cluster, streams[0] ?? '');
  const since = performance.now();
  const elapsed = () => Math.round(performance.now() - since);
  await victim.kill('SIGKILL');
  let failoverMs = 0;
  const promoted = cluster.untilPromoted(slot, victim).then(() => {
    failoverMs = elapsed();
  });
  let leastOfOthers = Number.POSITIVE_INFINITY;
  do {
    const before = await settledBy(services);
    await sleep(1_000);
    const after = await settledBy(services);
    const grown = others.map((shard) => (after[shard] ?? 0) - (before[shard] ?? 0));
    leastOfOthers = Math.min(leastOfOthers, ...grown);
  } while (failoverMs === 0);
  await promoted;
  await untilAllSettle(services);
  return { failoverMs, leastOfOthers, allSettleMs: elapsed() };
}

/** Records that each shard has settled, in all instances together. */
async function settledBy(services: readonly RunningService[]): Promise<readonly number[]> {
  const scrapes = await Promise.all(services.map((service) => service.metrics()));
  return streams.map((_, shard) => {
    const series = `processor_shard_records_settled_total{shard="${shard}"}`;
    return scrapes.reduce((sum, value) => sum + value(series), 0);
  });
}

async function untilAllSettle(services: readonly RunningService[]): Promise<void> {
  const before = await settledBy(services);
  await eventually('every shard settles records', async () => {
    const after = await settledBy(services);
    return after.every((count, shard) => count > (before[shard] ?? 0)) ? true : undefined;
  });
}

async function otherPrimary(cluster: Cluster, slot: number): Promise<LocalServer> {
  const owner = await cluster.ownerOf(slot);
  const all = await cluster.ownersOf([0, 8_000, 16_000]);
  const other = all.find((server) => server !== null && server !== owner);
  if (other == null) throw new RangeError('a cluster has several primaries');
  return other;
}
