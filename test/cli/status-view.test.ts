import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attentionOf, noRates, ratesOf } from '../../src/cli/status/derive.ts';
import { parseMetrics } from '../../src/cli/status/instance.ts';
import type { Sample, StreamSample } from '../../src/cli/status/sample.ts';
import { graph, renderLine, renderLook, renderWatch } from '../../src/cli/status/view.ts';

function streamSample(change: {
  length?: number;
  lag?: number | null;
  added?: number;
  read?: number;
}): StreamSample {
  const { length = 100, lag = 0, added = 1000, read = 1000 } = change;
  return {
    backlog: {
      ...{ length, lag, lagAgeMs: 0, neverWritten: false, pending: 3, pendingOldestMs: 5 },
      ...{ deadLetters: 2, deadLetterOldestMs: 1000 },
    },
    passed: { added, read },
    consumers: [{ name: 'one', pending: 3, idleMs: 10, inactiveMs: null }],
    pause: null,
    suspects: 0,
  };
}

function sample(atMs: number, change: Parameters<typeof streamSample>[0] = {}): Sample {
  return {
    atMs,
    stream: { kind: 'seen', value: streamSample(change) },
    database: { kind: 'seen', value: { answerMs: 3, pendingMigrations: 0 } },
    instances: [],
  };
}

const limits = { claimThresholdMs: 60_000, lagSeconds: 60 };
const look = (now: Sample, rates = noRates) => {
  return { sample: now, rates, attention: attentionOf(now, rates, limits), unreachable: [] };
};

describe('rates between two looks', () => {
  it('are entries a second, of what ever was added and read', () => {
    const rates = ratesOf(sample(0), sample(2000, { added: 1500, read: 1200 }));
    expect(rates).toMatchObject({ added: 250, delivered: 100, trimmingReachesMs: null });
  });

  it('are unknown when a counter went back', () => {
    expect(ratesOf(sample(0), sample(1000, { added: 5 })).added).toBeNull();
  });

  it('tell when trimming reaches unread entries: read ones are left for so long', () => {
    // 60 read entries were left, now 50: 5 seconds more.
    const before = sample(0, { length: 100, lag: 40 });
    const now = sample(1000, { length: 100, lag: 50 });
    const rates = ratesOf(before, now);
    expect(rates.trimmingReachesMs).toBe(5000);
    expect(attentionOf(now, rates, limits)).toEqual([expect.stringContaining('trimming')]);
  });

  it('see no trimming while the readers catch up', () => {
    const rates = ratesOf(sample(0, { lag: 50 }), sample(1000, { lag: 40 }));
    expect(rates.trimmingReachesMs).toBeNull();
  });
});

describe('a graph', () => {
  it('goes from nothing to the highest value', () => {
    expect(graph([0, 1, 2, 7], 10)).toBe('▁▂▃█');
    expect(graph([0, 0], 10)).toBe('▁▁');
    expect(graph([null, 5], 10)).toBe(' █');
  });

  it('shows the newest values that fit', () => {
    expect(graph([9, 0, 0, 4], 2)).toBe('▁█');
    expect(graph([1, 2], 0)).toBe('');
  });
});

it('nothing drawn is wider than the terminal, whatever the values', () => {
  const number = fc.oneof(fc.double(), fc.integer(), fc.constant(Number.NaN));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(number, number), { maxLength: 70 }),
      fc.integer({ min: 0, max: 200 }),
      (values, columns) => {
        const looks = values.map(([length, lag], at) => look(sample(at * 1000, { length, lag })));
        for (const line of [
          ...renderWatch(looks, columns),
          ...looks.slice(0, 1).flatMap((one) => renderLook(one, columns)),
        ]) {
          expect(line.length).toBeLessThanOrEqual(columns);
        }
      },
    ),
  );
});

it('what deserves attention is said, and so is that all is well', () => {
  expect(renderLook(look(sample(0)), 100)).toContain('all is well');
  const pause = { by: 'anna', reason: 'work', at: '2026' };
  const value = { ...streamSample({}), pause, suspects: 2 };
  const paused = { ...sample(0), stream: { kind: 'seen', value } as const };
  expect(attentionOf(paused, noRates, limits)).toEqual([
    'paused by anna: work',
    '2 entries are tried alone',
  ]);
  expect(renderLine(look(paused))).toContain('paused by anna');
});

it('metrics are read with their labels, and what is none is left out', () => {
  const text = '# HELP a b\na 1\nb{x="1 } 2"} 2.5 1700000000\nc NaN\nbad\n';
  expect([...parseMetrics(text)]).toEqual([
    ['a', 1],
    ['b{x="1 } 2"}', 2.5],
  ]);
});
