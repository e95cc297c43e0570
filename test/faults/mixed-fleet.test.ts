import { expect, test } from 'vitest';
import { realHabits } from '../../src/simulator/habits.ts';
import { openScenario, report, seed, testLimitMs, times } from './scenario.ts';

/** A full run is what 100 devices send in a day, at a record every 12 seconds or so. */
const records = times(6_000, 700_000);

/** Everything that a producer can mix into one stream, often enough for each kind to occur. */
const mixedHabits = {
  ...realHabits,
  io16: 0.3,
  udp: 0.2,
  message: 0.05,
  foreign: 0.05,
  empty: 0.01,
  codecChange: 0.01,
};

test(
  'both IO layouts, codec 7, messages, keep-alives and other protocols end as the ledger says',
  async () => {
    const scenario = await openScenario({ seed, records, form: 'mixed', habits: mixedHabits });
    const service = scenario.start('one');
    await scenario.feeding;
    await scenario.untilSettled();
    for (const reason of ['preamble_invalid', 'datagram_invalid', 'trailing_bytes']) {
      expect(
        await service.metric(`processor_dead_letters_total{reason="${reason}"}`),
      ).toBeGreaterThan(0);
    }
    const check = await scenario.finish();
    expect(check.message).toBeGreaterThan(0);
    report('mixed fleet', { ...check, problems: check.problems.length });
  },
  testLimitMs,
);
