import { expect, test } from 'vitest';
import { decodeReasons } from '../../src/core/types.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { readExposition } from './exposition.ts';

const text = await createMetrics({ version: '1.2.3', revision: 'a"b\\c' }).registry.metrics();
const series = readExposition(text);
const own = [...text.matchAll(/^# HELP (processor_\S+) (.+)\n# TYPE \S+ (\S+)$/gm)].map(
  ([, name = '', help = '', type = '']) => ({ name, help, type }),
);

test('every metric is explained in a sentence', () => {
  expect(own.length).toBeGreaterThan(40);
  for (const { name, help } of own) expect(help, name).toMatch(/^[A-Z0-9].*[.?]$/);
});

test('every counter of the service starts at 0 for each label', () => {
  for (const { name, type } of own) {
    if (type !== 'counter') continue;
    const values = series.filter((one) => one.name === name).map(({ value }) => value);
    expect(values.length, name).toBeGreaterThan(0);
    expect(new Set(values), name).toEqual(new Set(['0']));
  }
});

test('decode errors have exactly the closed list of reasons', () => {
  const found = series.filter(({ name }) => name === 'processor_decode_errors_total');
  expect(found.map(({ labels }) => labels)).toEqual(
    decodeReasons.map((reason) => `reason="${reason}"`),
  );
});

test('the bounds of every histogram ascend to +Inf', () => {
  const histograms = own.filter(({ type }) => type === 'histogram');
  expect(histograms.length).toBeGreaterThanOrEqual(4);
  for (const { name } of histograms) {
    const bounds = series
      .filter((one) => one.name === `${name}_bucket`)
      .map(({ labels }) => /le="([^"]+)"/.exec(labels)?.[1] ?? '');
    const one = bounds.slice(0, bounds.indexOf('+Inf'));
    const numbers = one.map(Number);
    expect(numbers.length, name).toBeGreaterThan(5);
    expect(numbers, name).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  }
});

test('a value that was not measured yet is absent, not 0', () => {
  for (const name of ['group_lag_entries', 'group_lag_seconds', 'group_pending_entries']) {
    expect(series.filter((one) => one.name === `processor_stream_${name}`)).toEqual([]);
  }
  expect(series.filter((one) => one.name === 'processor_dependency_up')).toEqual([]);
});
