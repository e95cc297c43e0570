import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import {
  eventually,
  openScenario,
  report,
  seed,
  shortTimes,
  testLimitMs,
  times,
} from './scenario.ts';

/** Steady load, which one instance carries alone; more than any run needs, ended by the case. */
const load = { seed, records: 2_000_000, rate: 2_000 };

/** From the first log line on: moments of the start-up, of the first reads and of the work. */
const latestMomentMs = 1_200;

describe('instances that stop in order, under load', () => {
  test(
    'SIGTERM at any moment, each time replaced: each exits with 0 and leaves nothing pending, or with 75',
    async () => {
      const scenario = await openScenario(load);
      const codes = { clean: 0, overrun: 0 };
      for (let life = 0; life < times(4, 50); life += 1) {
        const service = scenario.start('deployed');
        await eventually('it says its first word', () => service.logs[0]);
        await sleep(scenario.random.between(0, latestMomentMs));
        const code = await service.end('SIGTERM');
        const left = await scenario.pendingOf('deployed');
        expect([0, 75]).toContain(code);
        if (code === 0) expect(left).toBe(0);
        codes[code === 0 ? 'clean' : 'overrun'] += 1;
      }
      await scenario.stopFeeding();
      scenario.start('deployed');
      const check = await scenario.finish();
      report('SIGTERM', { ...codes, ...check });
    },
    testLimitMs,
  );

  test(
    'a rolling deploy replaces three instances, one after the other, while the fleet sends',
    async () => {
      // A drain has the budget that an installation gives it.
      const env = { READ_BLOCK_MS: shortTimes.READ_BLOCK_MS };
      const scenario = await openScenario({ ...load, defaultTimes: true, env });
      const old = ['a', 'b', 'c'].map((name) => ({ name, service: scenario.start(name) }));
      await Promise.all(old.map(({ service }) => service.untilReady()));
      for (const { name, service } of old) {
        await scenario.start(`${name}-new`).untilReady();
        expect(await service.end('SIGTERM')).toBe(0);
        expect(await scenario.pendingOf(name)).toBe(0);
      }
      await scenario.stopFeeding();
      const check = await scenario.finish();
      report('rolling deploy', check);
    },
    testLimitMs,
  );
});
