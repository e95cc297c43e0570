import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { realHabits } from '../../src/simulator/habits.ts';
import type { RunningService } from '../../tools/service.ts';
import { freezeHolding } from './instances.ts';
import {
  eventually,
  openScenario,
  report,
  type Scenario,
  seed,
  shortTimes,
  testLimitMs,
  times,
} from './scenario.ts';

/** Steady load, which one instance carries alone; more than any run needs, ended by the case. */
const load = { seed, records: 2_000_000, rate: 2_000 };

/** Many dead letters: one of each must stay one when two instances hold its entry. */
const badHabits = { ...realHabits, badRecord: 0.05, corrupt: 0.1, repeatedClock: 0.02 };

/** From the start, which takes about 600 ms, or from the first read. */
const latestMomentMs = 1_200;

const claimThresholdMs = Number(shortTimes.CLAIM_THRESHOLD_MS);
const claimIntervalMs = Number(shortTimes.CLAIM_INTERVAL_MS);
/** The last entry was delivered just before the kill, and the cadence has a jitter of 25 %. */
const takeoverMs = claimThresholdMs + 1.25 * claimIntervalMs;
/** For a blocked read, and for two busy cores. */
const graceMs = times(60_000, 5_000);

describe('instances that crash, under load', () => {
  test(
    'kill -9 at any moment, each time replaced: nothing is lost, nothing doubled',
    async () => {
      const scenario = await openScenario(load);
      const { random } = scenario;
      const kills = times(5, 100);
      let name = 'life-0';
      let holding = 0;
      for (let life = 1; life <= kills; life += 1) {
        // The same name finds its own pending entries; those under another name are claimed.
        if (random.chance(0.5)) name = `life-${life}`;
        const service = scenario.start(name);
        if (random.chance(0.75)) await untilReading(service);
        await sleep(random.between(0, latestMomentMs));
        // Chance might spare them all: the last one dies with its hands full.
        if (life === kills) await freezeHolding(service, () => scenario.pendingOf(name));
        expect(await service.end('SIGKILL')).toBeNull();
        if ((await scenario.pendingOf(name)) > 0) holding += 1;
      }
      expect(holding).toBeGreaterThan(0);
      await scenario.stopFeeding();
      scenario.start('survivor');
      const check = await scenario.finish();
      report('kill -9', { kills, holding, ...check });
    },
    testLimitMs,
  );

  test.each([2, 3])(
    'of %i instances one is killed and replaced: the others claim its entries in time',
    async (count) => {
      const scenario = await openScenario(load);
      const alive = Array.from({ length: count }, (_, index) => startNamed(scenario, index));
      await Promise.all(alive.map(({ service }) => service.untilReady()));
      const takeovers: Takeover[] = [];
      for (let round = 0; round < times(1, 10); round += 1) {
        const [victim] = alive.splice(scenario.random.int(0, count - 1), 1);
        if (victim === undefined) throw new RangeError('one of them is to be killed');
        takeovers.push(await killAndWatch(scenario, victim));
        alive.push(startNamed(scenario, count + round));
        await alive.at(-1)?.service.untilReady();
      }
      await scenario.stopFeeding();
      const check = await scenario.finish();
      report(`takeover among ${count}`, { boundMs: takeoverMs, takeovers, ...check });
      for (const { firstMs, allMs } of takeovers) {
        expect(firstMs).toBeLessThan(takeoverMs + graceMs);
        expect(allMs).toBeLessThan(takeoverMs + graceMs);
      }
    },
    testLimitMs,
  );

  test(
    'one that was suspended until its entries were claimed resumes with them: nothing is doubled',
    async () => {
      const scenario = await openScenario({ seed, records: 0, habits: badHabits });
      const [sleeper, other] = [scenario.start('sleeper'), scenario.start('other')];
      await Promise.all([sleeper.untilReady(), other.untilReady()]);
      let held = 0;
      for (let round = 0; round < times(2, 20); round += 1) {
        held += await freezeInBurst(scenario, sleeper, 'sleeper');
        await eventually('the other has taken over', async () =>
          (await scenario.pendingOf('sleeper')) === 0 ? true : undefined,
        );
        sleeper.process.kill('SIGCONT');
        await scenario.untilSettled();
      }
      const check = await scenario.finish();
      report('stood still', { rounds: times(2, 20), held, ...check });
    },
    testLimitMs,
  );
});

async function untilReading({ logs }: RunningService): Promise<void> {
  await eventually('reading begins', () => logs.find(({ msg }) => msg === 'reading begins'));
}

interface Named {
  readonly name: string;
  readonly service: RunningService;
}

function startNamed(scenario: Scenario, number: number): Named {
  const name = `instance-${number}`;
  return { name, service: scenario.start(name) };
}

interface Takeover {
  /** Entries that the killed instance held. */
  readonly held: number;
  /** From the kill until the first of them belonged to another, and until the last one did. */
  readonly firstMs: number;
  readonly allMs: number;
}

/** Sends flat out until the instance holds many entries, decoded ones among them. */
async function freezeInBurst(
  scenario: Scenario,
  service: RunningService,
  name: string,
): Promise<number> {
  let frozen = false;
  const burst = async () => {
    while (!frozen) await scenario.feed(1_000);
  };
  const freeze = freezeHolding(service, () => scenario.pendingOf(name), 200).finally(() => {
    frozen = true;
  });
  const [held] = await Promise.all([freeze, burst()]);
  return held;
}

async function killAndWatch(scenario: Scenario, { name, service }: Named): Promise<Takeover> {
  await freezeHolding(service, () => scenario.pendingOf(name));
  const killedAt = performance.now();
  await service.end('SIGKILL');
  let held = 0;
  let firstMs: number | null = null;
  return await eventually(`nothing is pending for ${name}`, async () => {
    const pending = await scenario.pendingOf(name);
    const sinceMs = Math.round(performance.now() - killedAt);
    if (pending < held) firstMs ??= sinceMs;
    held = Math.max(held, pending);
    return pending === 0 ? { held, firstMs: firstMs ?? sinceMs, allMs: sinceMs } : undefined;
  });
}
