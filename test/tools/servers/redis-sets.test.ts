import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { commandRedis } from '../../../tools/servers/ask.ts';
import { startCluster } from '../../../tools/servers/cluster.ts';
import type { LocalServer } from '../../../tools/servers/local-server.ts';
import { isAlive } from '../../../tools/servers/process-tree.ts';
import { startSentinelSet } from '../../../tools/servers/sentinel.ts';

// Failovers of both are in test/faults.
test('sentinels know a primary with two replicas; the set ends as one', async () => {
  const set = await startSentinelSet({ password: 'secret', sentinelPassword: 'other' });
  onTestFinished(() => set.stop());
  const first = await set.primary();
  expect(first).toBe(set.servers[0]);
  expect(set.url).toContain(`127.0.0.1:${set.sentinels[2]?.port}/telemetry`);
  await commandRedis(first.url, 'SET', 'kept', 'yes');
  await commandRedis(first.url, 'WAIT', 2, 1_500);

  for (const { url } of set.servers) expect(await commandRedis(url, 'GET', 'kept')).toBe('yes');
  expect(await commandRedis(set.servers[1]?.url ?? '', 'ROLE')).toContain('slave');

  await set.stop();
  await set.stop();
  expectGone([...set.servers, ...set.sentinels]);
});

test('slots of a cluster move with their keys; the set ends as one', async () => {
  const cluster = await startCluster({ password: 'secret' });
  onTestFinished(() => cluster.stop());
  expect(cluster.nodes).toHaveLength(6);
  const slot = Number(await commandRedis(cluster.nodes[0]?.url ?? '', 'CLUSTER', 'KEYSLOT', '{3}'));
  const keys = ['a', 'b', 'c'].map((name) => `${name}:{3}`);
  const first = await cluster.ownerOf(slot);
  for (const key of keys) await commandRedis(first.url, 'SET', key, key);
  await commandRedis(first.url, 'WAIT', 1, 1_500);

  expect(await cluster.replicasOf(first)).toHaveLength(1);

  const added = await cluster.addNode();
  await cluster.moveSlots([slot, slot + 1], added, { openMs: 10 });
  await cluster.untilWhole();
  expect(await cluster.ownerOf(slot)).toBe(added);
  for (const key of keys) expect(await commandRedis(added.url, 'GET', key)).toBe(key);
  await expect(commandRedis(first.url, 'GET', keys[0] ?? '')).rejects.toThrow(/^MOVED/);

  await cluster.stop();
  expectGone(cluster.nodes);
});

function expectGone(servers: readonly LocalServer[]): void {
  expect(servers.length).toBeGreaterThan(0);
  for (const { pid, dir } of servers) {
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(dirname(dir))).toBe(false);
  }
}
