import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { RunningService } from '../../tools/service.ts';
import { openScenario, report, seed, testLimitMs, times } from './scenario.ts';

const steadyRate = 200;
const burstRate = 50 * steadyRate;
const steadySeconds = times(2, 20);
const burstSeconds = times(3, 30);
const inFlightLimit = 20_000;
const writers = 2;

interface Sample {
  readonly inFlight: number;
  readonly connections: number;
  readonly waiting: number;
  readonly residentMb: number;
  readonly behind: number;
}

test(
  'a burst of 50 times the steady rate drains, within its bounds and without an error',
  async () => {
    const scenario = await openScenario({ seed, records: 0, form: 'mixed' });
    const service = scenario.start('one', { IN_FLIGHT_RECORDS: String(inFlightLimit) });
    await service.untilReady();
    const samples: Sample[] = [];
    let isDone = false;
    const watching = (async () => {
      while (!isDone) {
        samples.push(await look(service, async () => (await scenario.backlog()).undelivered));
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    })();

    await scenario.feed(steadyRate * steadySeconds, steadyRate);
    await scenario.feed(burstRate * burstSeconds, burstRate);
    const burstEnded = performance.now();
    await scenario.untilSettled();
    const drainedMs = performance.now() - burstEnded;
    await scenario.feed(steadyRate * steadySeconds, steadyRate);
    await scenario.untilSettled();
    isDone = true;
    await watching;

    const most = (of: (sample: Sample) => number) => Math.max(...samples.map(of));
    // The read that meets the limit may bring packets of several records.
    expect(most((sample) => sample.inFlight)).toBeLessThan(inFlightLimit + 1000 * 255);
    expect(most((sample) => sample.connections)).toBeLessThanOrEqual(writers + 1);
    expect(most((sample) => sample.waiting)).toBeLessThanOrEqual(writers);
    expect(service.logs.filter(({ level }) => level === 'error')).toEqual([]);
    await scenario.finish();
    report('burst', {
      steady_records_s: steadyRate,
      burst_records_s: burstRate,
      burst_s: burstSeconds,
      peak_backlog_entries: most((sample) => sample.behind),
      drain_ms: Math.round(drainedMs),
      peak_in_flight_records: most((sample) => sample.inFlight),
      peak_rss_mb: Math.round(most((sample) => sample.residentMb)),
    });
  },
  testLimitMs,
);

async function look(service: RunningService, behind: () => Promise<number>): Promise<Sample> {
  const status = readFileSync(`/proc/${service.process.pid}/status`, 'utf8');
  // One scrape: two would tell of two moments.
  const lines = (await (await fetch(`${await service.url()}/metrics`)).text()).split('\n');
  const value = (series: string) =>
    Number(lines.find((line) => line.startsWith(`${series} `))?.slice(series.length + 1));
  return {
    inFlight: value('processor_inflight_records'),
    connections:
      value('processor_db_pool_connections{state="busy"}') +
      value('processor_db_pool_connections{state="idle"}'),
    waiting: value('processor_db_pool_waiting'),
    residentMb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024,
    behind: await behind(),
  };
}
