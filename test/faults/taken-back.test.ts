import { Redis } from 'ioredis';
import { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';
import { commandRedis, infoField, withRedis } from '../../tools/servers/ask.ts';
import type { LocalServer } from '../../tools/servers/local-server.ts';
import { type SentinelSet, startSentinelSet } from '../../tools/servers/sentinel.ts';
import { eventually, group, report, stream, testLimitMs, times } from './scenario.ts';
import { serversOfSentinels } from './server-set.ts';
import { openSpreadScenario, type SpreadScenario } from './spread-scenario.ts';

const entryCount = times(200, 1_000);
const password = 'secret';
/** Writers that wait for a lock: reading goes on, as it would not after a failure. */
const patient = {
  LOCK_TIMEOUT_MS: '40000',
  STATEMENT_TIMEOUT_MS: '45000',
  INSERT_DEADLINE_MS: '50000',
  DRAIN_BUDGET_MS: '55000',
  CLAIM_THRESHOLD_MS: '120000',
};

describe('a failover that takes back acknowledged entries', () => {
  test(
    'costs nothing of what the stream has then, also under ids that were used before',
    async () => {
      const { set, scenario } = await openSettled(['one', 'two']);
      const [first] = set.servers;
      if (first === undefined) throw new RangeError('a set has servers');
      await cutReplication(set, first);
      const before = await newestId(first);
      await scenario.sender.send(entriesOf(scenario));
      await scenario.untilSettled();
      const lost = await idsAfter(first, before);
      expect(lost).toHaveLength(entryCount);

      await first.kill('SIGKILL');
      const next = await set.untilPromoted(first);
      await allowReplication(set, first);
      expect(await newestId(next)).toBe(before);
      await addUnder(next, lost, entriesOf(scenario), scenario);
      const check = await scenario.finish();
      expect(check.takenBack).toBe(entryCount);
      report('taken back', { entries: entryCount, ...check });
    },
    testLimitMs,
  );

  test(
    'costs nothing of what the stream has then, also under ids of entries that are still in flight',
    async () => {
      const { set, scenario, first, lost, unlock } = await openHolding();

      await first.kill('SIGKILL');
      const next = await set.untilPromoted(first);
      await allowReplication(set, first);
      await addUnder(next, lost, entriesOf(scenario), scenario);
      await untilDelivered(next);
      await unlock();
      const check = await scenario.finish();
      expect(check.takenBack).toBe(entryCount);
      report('taken back in flight', { entries: entryCount, ...check });
    },
    testLimitMs,
  );

  test(
    'costs nothing of what another instance holds under the ids of entries that one has in flight',
    async () => {
      const { set, scenario, holder, first, lost, unlock } = await openHolding();
      holder.process.kill('SIGSTOP');

      await first.kill('SIGKILL');
      const next = await set.untilPromoted(first);
      await allowReplication(set, first);
      const owner = scenario.start('two');
      await owner.untilReady();
      await addUnder(next, lost, entriesOf(scenario), scenario);
      await untilDelivered(next);
      // The owner dies before it has stored anything, and the holder settles what was taken back.
      await owner.end('SIGKILL');
      await endSessions(scenario, 'processor:two');
      const unsettled = await pendingOf(next);
      // All but messages and entries that are rejected whole, which wait for no row.
      expect(unsettled).toBeGreaterThan(entryCount / 2);
      holder.process.kill('SIGCONT');
      await unlock();
      await eventually('the holder has nothing in flight', async () =>
        (await holder.metric('processor_inflight_records')) === 0 ? true : undefined,
      );
      expect(await pendingOf(next)).toBe(unsettled);

      scenario.start('two');
      const check = await scenario.finish();
      expect(check.takenBack).toBe(entryCount);
      report('taken back, held by another instance', { entries: entryCount, ...check });
    },
    testLimitMs,
  );
});

/** Ends what a killed instance has asked of the database, which would go on by itself. */
async function endSessions({ databases }: SpreadScenario, name: string): Promise<void> {
  const client = new Client({ connectionString: databases[0] ?? '' });
  await client.connect();
  try {
    const { rowCount } = await client.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1',
      [name],
    );
    expect(rowCount).toBeGreaterThan(0);
  } finally {
    await client.end();
  }
}

async function pendingOf({ url }: LocalServer): Promise<number> {
  const summary: unknown = await commandRedis(url, 'XPENDING', stream, group);
  return Number(Array.isArray(summary) ? summary[0] : Number.NaN);
}

/** No row is stored until the returned function is called. */
async function lockPositions({ databases }: SpreadScenario): Promise<() => Promise<void>> {
  const client = new Client({ connectionString: databases[0] ?? '' });
  await client.connect();
  onTestFinished(() => client.end());
  await client.query('BEGIN; LOCK TABLE public.positions IN ACCESS EXCLUSIVE MODE');
  return async () => {
    await client.query('ROLLBACK');
  };
}

/** Waits until every entry of the stream is delivered. */
async function untilDelivered(server: LocalServer): Promise<void> {
  const newest = await newestId(server);
  await eventually('all entries are delivered', async () => {
    const groups: unknown = await commandRedis(server.url, 'XINFO', 'GROUPS', stream);
    return String(groups).includes(`last-delivered-id,${newest},`) ? true : undefined;
  });
}

/** Instances that have stored and acknowledged a first portion. */
async function openSettled(names: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const set = await startSentinelSet({ password });
  onTestFinished(() => set.stop());
  const servers = serversOfSentinels(set);
  const scenario = await openSpreadScenario({ servers, shards: null, env });
  const services = names.map((name) => scenario.start(name));
  await Promise.all(services.map((service) => service.untilReady()));
  await scenario.sender.send(entriesOf(scenario));
  await scenario.untilSettled();
  await commandRedis(set.servers[0]?.url ?? '', 'WAIT', 2, 1_000);
  return { set, scenario, services };
}

/** An instance that holds entries which no replica has received. */
async function openHolding() {
  const { set, scenario, services } = await openSettled(['one'], patient);
  const [[first], [holder]] = [set.servers, services];
  if (first === undefined || holder === undefined) throw new RangeError('neither is empty');
  await cutReplication(set, first);
  const before = await newestId(first);
  const unlock = await lockPositions(scenario);
  await scenario.sender.send(entriesOf(scenario));
  await untilDelivered(first);
  return { set, scenario, holder, first, lost: await idsAfter(first, before), unlock };
}

function entriesOf({ fleet }: SpreadScenario): readonly SimulatedEntry[] {
  return Array.from({ length: entryCount }, () => fleet.next());
}

async function cutReplication(set: SentinelSet, primary: LocalServer): Promise<void> {
  for (const { url } of set.servers.slice(1)) {
    await commandRedis(url, 'CONFIG', 'SET', 'masterauth', 'wrong');
  }
  await commandRedis(primary.url, 'CLIENT', 'KILL', 'TYPE', 'replica');
  await eventually('no replica copies', async () => {
    const info = await commandRedis(primary.url, 'INFO', 'replication');
    return infoField(info, 'connected_slaves') === '0' ? true : undefined;
  });
}

async function allowReplication(set: SentinelSet, killed: LocalServer): Promise<void> {
  for (const server of set.servers) {
    if (server === killed) continue;
    await commandRedis(server.url, 'CONFIG', 'SET', 'masterauth', password);
  }
}

async function newestId({ url }: LocalServer): Promise<string> {
  return await withRedis(url, async (redis) =>
    String((await redis.xrevrange(stream, '+', '-', 'COUNT', 1))[0]?.[0]),
  );
}

async function idsAfter({ url }: LocalServer, id: string): Promise<readonly string[]> {
  return await withRedis(url, async (redis) => {
    const found = await redis.xrange(stream, `(${id}`, '+', 'COUNT', entryCount + 1);
    return found.map(([one]) => one);
  });
}

/** As another producer does, or the same one after it has lost its notes. */
async function addUnder(
  { url }: LocalServer,
  lost: readonly string[],
  entries: readonly SimulatedEntry[],
  { sender }: SpreadScenario,
): Promise<void> {
  const client = new Redis(url, { protocol: 2 });
  try {
    for (const [index, entry] of entries.entries()) {
      await client.call('XADD', stream, lost[index] ?? '', ...entry.fields);
      sender.addedElsewhere(entry);
    }
  } finally {
    client.disconnect();
  }
}
