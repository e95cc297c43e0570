import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { LocalServer } from '../../tools/servers/local-server.ts';
import {
  type SentinelSet,
  type SentinelSetOptions,
  startSentinelSet,
} from '../../tools/servers/sentinel.ts';
import type { RunningService } from '../../tools/service.ts';
import { eventually, isFull, report, testLimitMs, times } from './scenario.ts';
import { serversOfSentinels } from './server-set.ts';
import { openSpreadScenario } from './spread-scenario.ts';

const rate = times(500, 2_000);
const entriesRead = 'processor_entries_read_total{source="new"}';
/** Beyond the failover, for two busy cores. */
const graceMs = times(60_000, 15_000);

type Harm = 'SIGKILL' | 'SIGSTOP' | 'FAILOVER';

describe('a Sentinel primary, with two instances under load and nothing lost or doubled,', () => {
  // Each in the full form ten times in a row; the short one takes what differs most.
  test.each<{ readonly harms: readonly Harm[] }>(
    isFull
      ? [{ harms: ['SIGKILL'] }, { harms: ['SIGSTOP'] }, { harms: ['FAILOVER'] }]
      : [{ harms: ['FAILOVER', 'SIGKILL', 'SIGSTOP'] }],
  )(
    'gets $harms: both instances read from the next one',
    async ({ harms }) => {
      const { set, scenario, services } = await openUnderLoad();
      const failovers: Failover[] = [];
      for (const harm of harms) {
        for (let round = 0; round < times(1, 10); round += 1) {
          failovers.push(await failOver(set, services, harm));
          // The short form does not wait for a former primary: each of its rounds takes another one.
          if (isFull) await set.untilReplicas(2);
        }
      }
      const check = await scenario.finish();
      report(`Sentinel ${harms}`, { rate, failovers, ...check });
      for (const { failoverMs, readingMs } of failovers) {
        expect(readingMs).toBeLessThan(failoverMs + graceMs);
      }
    },
    testLimitMs,
  );

  test(
    'stays in use while no sentinel answers; without them an instance waits at its start',
    async () => {
      const { set, scenario, services } = await openUnderLoad();
      await Promise.all(set.sentinels.map((sentinel) => sentinel.kill('SIGKILL')));
      const late = scenario.start('late');
      for (let seconds = 0; seconds < times(2, 60); seconds += 1) {
        const before = await readBy(services);
        await sleep(1_000);
        await eventually('both read on', async () => {
          const after = await readBy(services);
          return after.every((count, index) => count > (before[index] ?? 0)) ? true : undefined;
        });
      }
      expect(await late.health('ready')).toBe(503);

      await Promise.all(set.sentinels.map((sentinel) => sentinel.restart()));
      await late.untilReady();
      await eventually('the late one reads', async () =>
        (await late.metric(entriesRead)) > 0 ? true : undefined,
      );
      report('no sentinel', await scenario.finish());
    },
    testLimitMs,
  );
});

async function openUnderLoad(options: SentinelSetOptions = {}) {
  const set = await startSentinelSet(options);
  onTestFinished(() => set.stop());
  const scenario = await openSpreadScenario({ servers: serversOfSentinels(set), shards: null });
  const services = [scenario.start('one'), scenario.start('two')];
  await Promise.all(services.map((service) => service.untilReady()));
  scenario.sender.start(scenario.fleet, rate);
  await eventually('both read', async () =>
    (await readBy(services)).every((count) => count > 0) ? true : undefined,
  );
  return { set, scenario, services };
}

interface Failover {
  readonly harm: Harm;
  /** From the harm until the sentinels name another primary, which accepts writes. */
  readonly failoverMs: number;
  /** From the harm until each instance has read an entry that came after. */
  readonly readingMs: number;
}

async function failOver(
  set: SentinelSet,
  services: readonly RunningService[],
  harm: Harm,
): Promise<Failover> {
  const former = await set.primary();
  const since = performance.now();
  const elapsed = () => Math.round(performance.now() - since);
  if (harm === 'FAILOVER') await set.failover();
  else await former.kill(harm);
  await set.untilPromoted(former);
  const failoverMs = elapsed();
  const before = await readBy(services);
  await eventually('both instances read again', async () => {
    const after = await readBy(services);
    return after.every((count, index) => count > (before[index] ?? 0)) ? true : undefined;
  });
  const readingMs = elapsed();
  if (isFull) await heal(former, harm);
  return { harm, failoverMs, readingMs };
}

async function heal(former: LocalServer, harm: Harm): Promise<void> {
  if (harm === 'SIGKILL') await former.restart();
  if (harm === 'SIGSTOP') await former.kill('SIGCONT');
}

async function readBy(services: readonly RunningService[]): Promise<readonly number[]> {
  return await Promise.all(services.map((service) => service.metric(entriesRead)));
}
