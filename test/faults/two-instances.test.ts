import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { variables } from '../../src/config/variables.ts';
import { freezeHolding } from './instances.ts';
import {
  isFull,
  openScenario,
  report,
  type Scenario,
  seed,
  shortTimes,
  testLimitMs,
  times,
} from './scenario.ts';

const entriesRead = 'processor_entries_read_total{source="new"}';

/** The full form measures what an installation has that sets nothing. */
const { claimThresholdMs, claimIntervalMs } = variables;
const claims = isFull
  ? { thresholdMs: Number(claimThresholdMs.default), intervalMs: Number(claimIntervalMs.default) }
  : {
      thresholdMs: Number(shortTimes.CLAIM_THRESHOLD_MS),
      intervalMs: Number(shortTimes.CLAIM_INTERVAL_MS),
    };
const takeoverMs = claims.thresholdMs + 1.25 * claims.intervalMs;
/** For a blocked read, and for two busy cores. */
const graceMs = times(60_000, 6_000);
const sampleEveryMs = 100;
/** More than the case needs, which ends the feeding itself. */
const mostRecords = 600_000;

describe('two instances share a stream', () => {
  test(
    'each gets between 30 and 70 % of the entries at full load',
    async () => {
      // Many reads in both forms, so that chance evens out.
      const env = { READ_COUNT: String(times(100, 1_000)) };
      const scenario = await openScenario({ seed, records: 0, form: 'a', env });
      const both = [scenario.start('one'), scenario.start('two')];
      await Promise.all(both.map((service) => service.untilReady()));
      const startedAt = performance.now();
      const { entries } = await scenario.feed(times(10_000, 100_000));
      await scenario.untilSettled();
      const settledMs = Math.round(performance.now() - startedAt);
      const shares = await Promise.all(both.map((service) => service.metric(entriesRead)));
      const check = await scenario.finish();
      report('split between two instances', { entries, shares, settledMs, ...check });
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(entries);
      for (const share of shares) {
        expect(share).toBeGreaterThan(0.3 * entries);
        expect(share).toBeLessThan(0.7 * entries);
      }
    },
    testLimitMs,
  );

  test(
    'one is killed at a steady rate: the backlog returns to normal once its entries are claimed',
    async () => {
      const rate = times(2_000, 4_000);
      const scenario = await openScenario({ seed, records: 0, rate, defaultTimes: isFull });
      const [victim, survivor] = [scenario.start('victim'), scenario.start('survivor')];
      await Promise.all([victim.untilReady(), survivor.untilReady()]);
      const feeding = scenario.feed(mostRecords);
      const normal = await sampleFor(scenario, times(1_000, 10_000));
      const held = await freezeHolding(victim, () => scenario.pendingOf('victim'));
      const killedAt = performance.now();
      await victim.end('SIGKILL');
      const after = await sampleUntilNormal(scenario, Math.max(...normal), killedAt);

      await scenario.stopFeeding();
      await feeding;
      const check = await scenario.finish();
      const before = { median: median(normal), most: Math.max(...normal) };
      report('failover of one of two', { rate, ...claims, held, before, after, ...check });
      expect(after.backToNormalMs).toBeLessThan(takeoverMs + graceMs);
    },
    testLimitMs,
  );
});

async function entriesWaiting(scenario: Scenario): Promise<number> {
  const { undelivered, pending } = await scenario.backlog();
  return undelivered + pending;
}

async function sampleFor(scenario: Scenario, ms: number): Promise<number[]> {
  const samples: number[] = [];
  for (const end = performance.now() + ms; performance.now() < end; ) {
    samples.push(await entriesWaiting(scenario));
    await sleep(sampleEveryMs);
  }
  return samples;
}

interface Failover {
  /** Entries undelivered or pending, at most. */
  readonly peak: number;
  /** From the kill until nothing of the victim's was pending and no more waited than before. */
  readonly backToNormalMs: number;
}

async function sampleUntilNormal(
  scenario: Scenario,
  most: number,
  killedAt: number,
): Promise<Failover> {
  for (let peak = 0; ; ) {
    const waiting = await entriesWaiting(scenario);
    const orphaned = await scenario.pendingOf('victim');
    peak = Math.max(peak, waiting);
    const backToNormalMs = Math.round(performance.now() - killedAt);
    if (orphaned === 0 && waiting <= most) return { peak, backToNormalMs };
    await sleep(sampleEveryMs);
  }
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? 0;
}
