import fc from 'fast-check';
import { Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createMetricMaker } from '../../src/observability/metric-maker.ts';

const buckets = [0.005, 0.1, 1, 60, 86_400];
const names = ['entry', 'device'] as const;
const value = fc.oneof(
  fc.constantFrom(0, ...buckets),
  fc.double({ min: 0, max: 100_000, noNaN: true }),
);

/** What a scrape shows after these observations, in prom-client's own histogram and in the tally. */
async function shown(observed: readonly (readonly [(typeof names)[number], number])[]) {
  const [own, tallied] = [new Registry(), new Registry()];
  const histogram = new Histogram({
    name: 'h',
    help: 'Help.',
    labelNames: ['from'],
    buckets,
    registers: [own],
  });
  for (const from of names) histogram.zero({ from });
  const tally = createMetricMaker(tallied).tallyHistogram('h', 'Help.', 'from', names, buckets);
  for (const [from, seconds] of observed) {
    histogram.observe({ from }, seconds);
    tally(from).observe(seconds);
  }
  return [
    { text: await own.metrics(), json: await own.getMetricsAsJSON() },
    { text: await tallied.metrics(), json: await tallied.getMetricsAsJSON() },
  ] as const;
}

test('a tally shows what a histogram of prom-client shows, also twice', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom(...names), value)), async (observed) => {
      const [own, tallied] = await shown(observed);
      expect(tallied).toEqual(own);
    }),
  );
  const registry = new Registry();
  const tally = createMetricMaker(registry).tallyHistogram('h', 'Help.', 'from', names, buckets);
  tally('entry').observe(2);
  expect(await registry.metrics()).toBe(await registry.metrics());
  tally('entry').observe(2);
  expect(await registry.metrics()).toContain('h_count{from="entry"} 2');
});

test('a tallied counter shows each event once', async () => {
  const registry = new Registry();
  const counter = createMetricMaker(registry).tallyCounter('c_total', 'Help.');
  expect(await registry.metrics()).toContain('c_total 0');
  counter.inc();
  counter.inc();
  expect(await registry.metrics()).toContain('c_total 2');
  counter.inc();
  expect(await registry.metrics()).toContain('c_total 3');
});
