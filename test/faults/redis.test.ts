import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { RunningService } from '../../tools/service.ts';
import {
  failureCodes,
  outage,
  quickRetries,
  repeated,
  settle,
  untilReadyAgain,
  untilSettled,
  untilUnready,
} from './outage.ts';
import {
  deadLetterKey,
  openScenario,
  type Scenario,
  seed,
  testLimitMs,
  times,
} from './scenario.ts';

/** Steady load, which one instance carries alone; more than any run needs, ended by the case. */
const load = { seed, records: 2_000_000, rate: times(500, 2_000), env: quickRetries };
const noLoad = { seed, records: 0, env: quickRetries };
/** Fed flat out before and after the harm, where the case distinguishes what was sent when. */
const portion = times(1_000, 50_000);

describe('Redis, under load, with readiness reporting it and nothing lost or doubled,', () => {
  test(
    'is restarted in order, killed -9 and restarted, and down for a while',
    async () => {
      const { scenario, service } = await openUnderLoad();
      const { redis } = scenario;
      const down = (signal: NodeJS.Signals, whileDown?: () => Promise<void>) =>
        outage(
          service,
          'redis',
          () => redis.kill(signal),
          () => redis.restart(),
          whileDown,
        );
      const restarts = await repeated(times(1, 5), () => down('SIGTERM'));
      const kills = await repeated(times(1, 5), () => down('SIGKILL'));
      const goneMs = times(1_000, 60_000);
      const gone = await down('SIGKILL', () => sleep(goneMs));
      await settle('Redis down', scenario, { restarts, kills, goneMs, gone });
    },
    testLimitMs,
  );

  test(
    'is suspended and resumed with its connections',
    async () => {
      const { scenario, service } = await openUnderLoad();
      const { redis } = scenario;
      const outages = await repeated(times(1, 5), () =>
        outage(
          service,
          'redis',
          () => redis.kill('SIGSTOP'),
          () => redis.kill('SIGCONT'),
          () => sleep(times(0, 5_000)),
        ),
      );
      await settle('Redis stood still', scenario, { outages });
    },
    testLimitMs,
  );

  test(
    'has its clients killed repeatedly',
    async () => {
      const { scenario, service } = await openUnderLoad();
      const { client } = scenario;
      const harmedUntil = performance.now() + times(1_000, 10_000);
      let killed = 0;
      const noticed = untilUnready(service, 'redis');
      while (performance.now() < harmedUntil) {
        killed += Number(await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
        await sleep(20);
      }
      const noticedMs = await noticed;
      const healedMs = await untilReadyAgain(service);
      expect(killed).toBeGreaterThan(1);
      await settle('clients killed', scenario, { killed, noticedMs, healedMs });
    },
    testLimitMs,
  );

  test(
    'is a read-only replica for a while, as in a failover (READONLY)',
    async () => {
      const { scenario, service } = await openUnderLoad();
      const { client } = scenario;
      const outages = await repeated(times(1, 5), () =>
        outage(
          service,
          'redis',
          // A master that does not exist: nothing is copied from it, and the data stays.
          () => client.replicaof('127.0.0.1', 1),
          () => client.replicaof('NO', 'ONE'),
          () => sleep(times(300, 5_000)),
        ),
      );
      // REPLICA: a connection that was made meanwhile refuses the server before a command does.
      expect(failureCodes(service, 'redis')).toContainEqual(
        expect.stringMatching(/^(READONLY|REPLICA)$/),
      );
      await settle('Redis read-only', scenario, { outages });
    },
    testLimitMs,
  );

  test(
    'is out of memory: entries that need a dead letter wait (OOM)',
    async () => {
      const scenario = await openScenario(noLoad);
      const { client } = scenario;
      const service = scenario.start('one');
      let letters = 0;
      const outages = await repeated(times(1, 5), async () => {
        // A statement under way would not survive the suspension of its process.
        await untilSettled(scenario);
        return await outage(
          service,
          'dead_letters',
          async () => {
            service.process.kill('SIGSTOP');
            await scenario.feed(portion);
            await client.config('SET', 'maxmemory', '1');
            letters = await client.xlen(deadLetterKey);
            service.process.kill('SIGCONT');
          },
          () => client.config('SET', 'maxmemory', '0'),
          async () => {
            await sleep(times(300, 5_000));
            expect(await client.xlen(deadLetterKey)).toBe(letters);
          },
        );
      });
      expect(failureCodes(service, 'dead_letters')).toContain('OOM');
      await settle('Redis out of memory', scenario, { outages });
    },
    testLimitMs,
  );
});

interface UnderLoad {
  readonly scenario: Scenario;
  readonly service: RunningService;
}

async function openUnderLoad(): Promise<UnderLoad> {
  const scenario = await openScenario(load);
  const service = scenario.start('one');
  await service.untilReady();
  return { scenario, service };
}
