import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { metricProblems } from '../../demo/check.ts';
import { readMetrics, type ServiceMetrics } from '../../demo/metrics.ts';
import { readDemoOptions } from '../../demo/options.ts';
import { createProgress } from '../../demo/progress.ts';
import { createMetrics } from '../../src/observability/metrics.ts';

const metrics: ServiceMetrics = {
  records: { inserted: 900, duplicate: 80, conflict: 2, dead_letter: 3, message: 1, lost: 0 },
  entriesRead: 120,
  lag: 5,
  pending: 0,
};

test('options have defaults, bounds and a seed of their own', () => {
  const first = readDemoOptions([]);
  expect(first).toMatchObject({ seconds: 15, rate: 4_000, devices: 100 });
  expect(readDemoOptions([])).not.toEqual(first);
  expect(readDemoOptions(['--seed', '7', '--seconds=3'])).toMatchObject({ seed: 7, seconds: 3 });
  expect(readDemoOptions(['--help'])).toBe('help');
});

test.each([
  [['--rate', 'fast'], '--rate: a whole number'],
  [['--seconds', '0'], '--seconds: a whole number from 1'],
  [['--seconds', '3600', '--rate', '100000'], 'at most 5000000 records'],
  [['--sconds', '3'], '--sconds'],
] as const)('%j is refused by its name', (args, words) => {
  expect(() => readDemoOptions(args)).toThrow(words);
});

test('the metrics that the service exports are found under their names', async () => {
  const service = createMetrics({ version: '1', revision: 'r' });
  service.records.inc({ outcome: 'inserted' }, 7);
  service.records.inc({ outcome: 'conflict' }, 2);
  service.entriesRead.inc({ source: 'new' }, 3);
  service.entriesRead.inc({ source: 'claimed' }, 4);
  expect(readMetrics(await service.registry.metrics())).toMatchObject({
    records: { inserted: 7, duplicate: 0, conflict: 2, dead_letter: 0, message: 0, lost: 0 },
    entriesRead: 7,
  });
});

test('an unknown lag is distinguished from a lag of 0', () => {
  expect(readMetrics('processor_stream_group_lag_entries{stream="s"} 0').lag).toBe(0);
  expect(readMetrics('').lag).toBeNull();
});

test('every counter that says something else than the check is a problem', () => {
  const check = {
    sent: 986,
    inserted: 900,
    duplicate: 80,
    conflict: 2,
    deadLetter: 3,
    message: 1,
    missing: 0,
    unexpected: 0,
    doubled: 0,
    problems: [],
  };
  const totals = { entries: 120, sent: 986, messages: 1 };
  expect(metricProblems(check, metrics, { totals })).toEqual([]);
  const lost = { ...metrics, records: { ...metrics.records, lost: 1, inserted: 899 } };
  expect(metricProblems(check, { ...lost, entriesRead: 119 }, { totals })).toEqual([
    'metrics: the service counted 899 inserted, the check 900',
    'metrics: the service counted 1 lost, the check 0',
    'metrics: the service read 119 entries of 120',
  ]);
});

function shown(terminal: { columns(): number } | null): string {
  let text = '';
  const out = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  const progress = createProgress(out, terminal, 0);
  const sample = { sent: 1_000, expected: 4_000, phase: 'sending', metrics };
  progress.show(sample, 500);
  progress.show({ ...sample, metrics: null }, 1_000);
  progress.end();
  return text;
}

test('away from a terminal progress is plain lines', () => {
  expect(shown(null)).toBe(
    '0.5 s sending: 1972 records/s, sent 1,000, lag 5, inserted 900, duplicates 80, dead letters 3, conflicts 2\n' +
      '1.0 s sending: 0 records/s, sent 1,000, the service does not answer\n',
  );
});

test('on a terminal three lines are drawn again in place, none wider than it', () => {
  const escapeCode = String.fromCharCode(27);
  const text = shown({ columns: () => 40 });
  const [first = '', second = ''] = text.split(`${escapeCode}[1A`.repeat(3));
  for (const block of [first, second]) {
    const lines = block.replaceAll(`\r${escapeCode}[2K`, '').trimEnd().split('\n');
    expect(lines.length).toBe(3);
    expect(lines.every((line) => line.length < 40)).toBe(true);
  }
  expect(first).toContain('██████░░░░░░░░░░░░░░░░░░');
  expect(first).toContain('1,972 records/s  █');
});
