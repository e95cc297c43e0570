import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startProxy, type TcpProxy } from '../../tools/servers/proxy.ts';
import type { RunningService } from '../../tools/service.ts';
import {
  type Dependency,
  failureCodes,
  graceMs,
  type Outage,
  outage,
  quickRetries,
  repeated,
  settle,
  untilReadyAgain,
} from './outage.ts';
import {
  openScenario,
  type Scenario,
  type ScenarioOptions,
  seed,
  shortTimes,
  testLimitMs,
  times,
} from './scenario.ts';

/** Steady load, which one instance carries alone; more than any run needs, ended by the case. */
const load = { seed, records: 2_000_000, rate: times(500, 2_000), env: quickRetries };
const portion = times(2_000, 50_000);

/** Short enough that it and not the reader notices first. */
const commandTimeoutMs = 500;
/** Time beyond the block time before a silent connection counts as dead, see redis-parts.ts. */
const readSlackMs = 3_000;
const readDeadlineMs = Number(shortTimes.READ_BLOCK_MS) + readSlackMs;
const insertDeadlineMs = Number(shortTimes.INSERT_DEADLINE_MS);

/** What a client sends first when it does its work there. */
const writes: Readonly<Record<Dependency, string>> = {
  redis: 'xack',
  database: 'INSERT INTO public.positions',
};

describe.each<Dependency>(['redis', 'database'])('the network to %s, under load', (dependency) => {
  test(
    'has a latency of 50 ms each way: everything arrives, and nothing fails',
    async () => {
      const { scenario, service, proxy } = await openBehindProxy(dependency, {
        records: portion,
        rate: null,
      });
      proxy.latency(50);
      await scenario.feeding;
      await settle(`latency, ${dependency}`, scenario, {});
      expect(failureCodes(service, dependency)).toEqual(new Set());
    },
    testLimitMs,
  );

  test(
    'is cut at random moments',
    async () => {
      const { scenario, service, proxy } = await openBehindProxy(dependency);
      let cut = 0;
      for (let round = 0; round < times(5, 50); round += 1) {
        await sleep(scenario.random.between(20, 500));
        cut += proxy.cut();
      }
      const healedMs = await untilReadyAgain(service);
      expect(cut).toBeGreaterThan(0);
      await settle(`cut at random, ${dependency}`, scenario, { cut, healedMs });
    },
    testLimitMs,
  );

  test(
    'is cut in the middle of a reply: no completed step is repeated',
    async () => {
      const { scenario, service, proxy } = await openBehindProxy(dependency);
      for (let round = 0; round < times(3, 50); round += 1) {
        // A short reply is one to a write, a long one brings entries.
        await proxy.cutReplyAfter(scenario.random.pick([4, 12, 200]));
        await service.untilReady();
      }
      expect(failureCodes(service, dependency)).not.toEqual(new Set());
      await settle(`reply cut, ${dependency}`, scenario, {});
    },
    testLimitMs,
  );
});

describe('a black hole, in which connections stay open without an answer,', () => {
  test(
    'is noticed within READ_BLOCK_MS + 3000 ms while a read waits for entries',
    async () => {
      const { scenario, service, proxy } = await openBehindProxy('redis', { records: 0 });
      const outages = await repeated(times(1, 10), () => throughHole(service, 'redis', proxy));
      await scenario.feed(portion);
      await settleWithin(readDeadlineMs, 'black hole, reader', scenario, outages);
    },
    testLimitMs,
  );

  test(
    'is noticed within REDIS_COMMAND_TIMEOUT_MS while entries are acknowledged',
    async () => {
      const env = { ...quickRetries, REDIS_COMMAND_TIMEOUT_MS: String(commandTimeoutMs) };
      const { scenario, service, proxy } = await openBehindProxy('redis', { env });
      const outages = await repeated(times(1, 10), () =>
        throughHoleAtWrite(service, 'redis', proxy),
      );
      await settleWithin(commandTimeoutMs, 'black hole, writer', scenario, outages);
    },
    testLimitMs,
  );

  test(
    'is noticed within INSERT_DEADLINE_MS while rows are inserted',
    async () => {
      const { scenario, service, proxy } = await openBehindProxy('database');
      const outages = await repeated(times(1, 10), () =>
        throughHoleAtWrite(service, 'database', proxy),
      );
      await settleWithin(insertDeadlineMs, 'black hole, database', scenario, outages);
    },
    testLimitMs,
  );
});

interface Case {
  readonly scenario: Scenario;
  readonly service: RunningService;
  readonly proxy: TcpProxy;
}

/** Only the service goes through the proxy; the fleet and the ledger do not. */
async function openBehindProxy(
  dependency: Dependency,
  options: Partial<ScenarioOptions> = {},
): Promise<Case> {
  const opened: TcpProxy[] = [];
  const through = async (url: string) => {
    const proxy = await startProxy(Number(new URL(url).port));
    opened.push(proxy);
    return proxy.through(url);
  };
  // Before the scenario's own, so that it runs after it.
  onTestFinished(async () => {
    for (const proxy of opened) await proxy.close();
  });
  const scenario = await openScenario({
    ...load,
    ...options,
    ...(dependency === 'redis'
      ? { redisUrlFor: ({ url }) => through(url) }
      : { postgresUrlFor: through }),
  });
  const [proxy] = opened;
  if (proxy === undefined) throw new TypeError('the scenario asked for no URL');
  const service = scenario.start('one');
  await service.untilReady();
  return { scenario, service, proxy };
}

/** The hole opens now, when nothing but the read is under way. */
function throughHole(
  service: RunningService,
  dependency: Dependency,
  proxy: TcpProxy,
): Promise<Outage> {
  return outage(
    service,
    dependency,
    () => proxy.blackHole(),
    () => proxy.heal(),
    () => sleep(times(0, 5_000)),
  );
}

/** The hole opens with the first bytes of a write, which it swallows. */
function throughHoleAtWrite(
  service: RunningService,
  dependency: Dependency,
  proxy: TcpProxy,
): Promise<Outage> {
  return outage(
    service,
    dependency,
    () => proxy.onceSent(writes[dependency], () => proxy.blackHole()),
    () => proxy.heal(),
    () => sleep(times(0, 5_000)),
  );
}

async function settleWithin(
  boundMs: number,
  what: string,
  scenario: Scenario,
  outages: readonly Outage[],
): Promise<void> {
  for (const { noticedMs } of outages) expect(noticedMs).toBeLessThan(boundMs + graceMs);
  await settle(what, scenario, { boundMs, outages });
}
