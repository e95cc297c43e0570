import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attentionOf, limitsOf, unreachableOf } from '../../src/cli/status/attention.ts';
import { type InstanceView, parseMetrics } from '../../src/cli/status/instance.ts';
import { stallMs } from '../../src/cli/status/movement.ts';
import { noRates, ratesOf } from '../../src/cli/status/rates.ts';
import type { Sample, StreamSample } from '../../src/cli/status/sample.ts';
import { renderLine, renderStatus, type Status } from '../../src/cli/status/view.ts';
import { graph, renderWatch } from '../../src/cli/status/watch-view.ts';
import { type Terminal, terminalOf, wrap } from '../../src/cli/terminal.ts';

interface Change {
  readonly length?: number;
  readonly lag?: number | null;
  readonly added?: number;
  readonly read?: number | null;
  readonly pending?: number;
  readonly oldestPending?: string;
  readonly delivered?: string;
  readonly first?: string | null;
  /** Since each consumer asked, with what it holds. */
  readonly consumers?: readonly (readonly [idleMs: number, pending: number])[];
  readonly pause?: StreamSample['pause'];
  readonly suspects?: number;
  readonly losses?: StreamSample['losses'];
}

function streamSample(change: Change): StreamSample {
  const { length = 100, lag = 0, added = 1000, read = 1000, pending = 0 } = change;
  const consumers = (change.consumers ?? [[10, pending]]).map(([idleMs, held], at) => {
    return { name: `c${at}`, pending: held, idleMs, inactiveMs: null };
  });
  return {
    backlog: {
      length,
      lag,
      lagAgeMs: 0,
      neverWritten: false,
      pending,
      pendingOldestMs: 5,
      idFault: null,
      deadLetters: 2,
      deadLetterOldestMs: 1000,
    },
    progress: {
      added,
      read,
      length,
      consumers,
      pending,
      unclaimedMs: 0,
      lastId: '9-9',
      firstId: change.first === undefined ? '1-0' : change.first,
      deliveredId: change.delivered ?? '5-0',
      oldestPendingId: pending === 0 ? null : (change.oldestPending ?? '4-0'),
    },
    pause: change.pause ?? null,
    suspects: change.suspects ?? 0,
    losses: change.losses ?? null,
  };
}

function sample(atMs: number, change: Change = {}): Sample {
  return {
    atMs,
    streams: [{ shard: null, stream: { kind: 'seen', value: streamSample(change) } }],
    database: { kind: 'seen', value: { answerMs: 3, pendingMigrations: 0 } },
    instances: [],
  };
}

/** A sample of shards; null for one that does not answer. */
function shardSample(atMs: number, changes: readonly (Change | null)[]): Sample {
  const streams = changes.map((change, shard) => {
    const problem = 'redis ECONNREFUSED';
    return change === null
      ? { shard, stream: { kind: 'unreachable' as const, who: `shard ${shard}`, problem } }
      : { shard, stream: { kind: 'seen' as const, value: streamSample(change) } };
  });
  return { ...sample(atMs), streams };
}

const instance: InstanceView = {
  url: 'http://processor:9464/metrics',
  ready: { ok: true, reasons: [] },
  records: 1,
  deadLetters: 0,
  inFlight: 2,
  residentBytes: 126e6,
  breakers: [],
  rowsPerBatch: 4,
  isPaused: false,
  lastCommitMs: 500,
  lostEntries: 0,
};

const limits = limitsOf({ blockMs: 2000, claimThresholdMs: 60_000, claimIntervalMs: 15_000 }, 60);
const file: Terminal = { columns: null, rows: null, isScreen: false, hasColor: false };

function status(now: Sample, before: Sample | null = null): Status {
  const rates = ratesOf(before, now);
  const attention = attentionOf({ before, older: before, now, rates }, limits);
  return { sample: now, rates, attention, unreachable: [] };
}

/** What is found between two samples, so far apart. */
const found = (before: Change, now: Change, ms = 1000) =>
  status(sample(ms, now), sample(0, before)).attention;

describe('rates between two samples', () => {
  test('are the entries added and read per second', () => {
    const rates = ratesOf(sample(0), sample(2000, { added: 1500, read: 1200 }));
    expect(rates).toMatchObject({ added: 250, delivered: 100, trimmingReachesMs: null });
  });

  test('are unknown when a counter went back', () => {
    expect(ratesOf(sample(0), sample(1000, { added: 5 })).added).toBeNull();
  });

  test('show when trimming reaches unread entries: once the read entries are trimmed', () => {
    // 60 read entries were left, now 50: 5 seconds more.
    const before = sample(0, { length: 100, lag: 40 });
    const now = sample(1000, { length: 100, lag: 50 });
    expect(ratesOf(before, now).trimmingReachesMs).toBe(5000);
    expect(status(now, before).attention).toEqual(['trimming reaches unread entries in 5s']);
  });

  test('see no trimming while the readers catch up', () => {
    const rates = ratesOf(sample(0, { lag: 50 }), sample(1000, { lag: 40 }));
    expect(rates.trimmingReachesMs).toBeNull();
  });
});

describe('attention', () => {
  test('is not due for a healthy service that is trimmed while it reads', () => {
    const now = { length: 100_000, lag: 60, added: 2000, read: 1990, delivered: '6-0' };
    expect(found({ length: 100_000, lag: 0 }, now)).toEqual([]);
  });

  test('is not due for an idle service between two reads, or for one entry that just came', () => {
    const idle = { consumers: [[9000, 0]] } as const;
    expect(found(idle, idle)).toEqual([]);
    expect(found({ ...idle, lag: 0 }, { ...idle, lag: 1, added: 1001 })).toEqual([]);
    const slow = { consumers: [[11_000, 0]] } as const;
    expect(found({ ...slow, lag: 0 }, { ...slow, lag: 1, added: 1001 })).toEqual([]);
  });

  test('is due when the newest consumer has not asked for five block times while entries wait', () => {
    const dead = {
      lag: 2,
      consumers: [
        [10_100, 0],
        [70_000, 3],
      ],
    } as const;
    expect(found(dead, dead)).toEqual([
      'no instance reads: the last one asked 10s ago, and 2 entries wait',
    ]);
    const paused = { ...dead, pause: { by: 'anna', reason: 'work', at: '2026' } };
    expect(found(paused, paused)).toContain('paused by anna: work');
  });

  test('is due for one of several consumers that is silent and holds entries', () => {
    const one = {
      consumers: [
        [5, 2],
        [46_000, 321],
        [80_000, 0],
      ],
    } as const;
    expect(found(one, one)).toEqual(['c1 has been silent for 46s and holds 321 entries']);
  });

  test('is due when entries come and none is delivered or settled', () => {
    const stalled = found({ lag: 5 }, { lag: 9, added: 1004 }, 5000);
    expect(stalled).toEqual(['4 entries came in 5s and none was delivered or settled']);
    expect(found({ lag: 5 }, { lag: 9, added: 1004 }, 4000)).toEqual([]);
    const flows = { lag: 5, added: 1004, read: 1004, delivered: '6-0' };
    expect(found({ lag: 5 }, flows, 5000)).toEqual([]);
  });

  test('is due when the oldest pending entry stays and nothing is acknowledged', () => {
    const words = 'pending entries do not move: 7 held, none acknowledged in 5s';
    expect(found({ pending: 7 }, { pending: 7 }, 5000)).toEqual([words]);
    expect(found({ pending: 5 }, { pending: 7, read: 1002 }, 5000)).toEqual([words]);
    expect(found({ pending: 7 }, { pending: 7, read: 1001 }, 5000)).toEqual([]);
    expect(found({ pending: 7 }, { pending: 7, oldestPending: '5-0' }, 5000)).toEqual([]);
    expect(found({ pending: 7, read: null }, { pending: 6, read: null }, 5000)).toEqual([]);
  });

  test('is due for unread entries that are trimmed now, were trimmed, or would be next', () => {
    const reached = { lag: 100, first: '6-0', read: 900 };
    expect(found(reached, { ...reached, first: '8-0', added: 1010 })).toEqual([
      'unread entries are being trimmed now: 10 in 1s',
      '10 entries were trimmed before any instance read them',
    ]);
    expect(found({}, { lag: 100, first: '6-0', read: 899 })).toEqual([
      '1 entry was trimmed before any instance read them',
    ]);
    expect(found({}, reached)).toEqual([
      'trimming has reached unread entries: the next trim loses some',
    ]);
    // A Redis that restarted does not know what was read; a new group has read nothing.
    expect(found({}, { ...reached, read: null })).toHaveLength(1);
    expect(found({}, { ...reached, delivered: '0-0' })).toEqual([]);
  });

  test('is due for a day after entries were lost', () => {
    const losses = { entries: { trimmed_undelivered: 4790, trimmed_pending: 1 }, lastMs: 0 };
    expect(found({}, { losses }, 720_000)).toEqual([
      '4,791 entries were lost, the last 12m ago (trimmed unread: 4,790, trimmed while pending: 1)',
    ]);
  });

  test('is due for an instance that is not ready, has an open breaker or counted a loss', () => {
    const ready = { ok: false, reasons: ['database unavailable: 55P03'] };
    const value = { ...instance, ready, breakers: ['database is open'], lostEntries: 1 };
    const now: Sample = { ...sample(0), instances: [{ kind: 'seen', value }] };
    expect(status(now).attention).toEqual([
      'processor:9464 is not ready: database unavailable: 55P03',
      'processor:9464: circuit breaker of database is open',
      'processor:9464 has counted 1 lost entry since it started',
    ]);
  });

  test('is due when the lag cannot be counted, and for entries in isolation', () => {
    expect(found({}, { lag: null, suspects: 1 })).toEqual([
      'the lag cannot be counted: entries were deleted from the middle of the stream',
      '1 entry is processed in isolation: instances crashed on it',
    ]);
  });
});

describe('a graph', () => {
  test('goes from nothing to the highest value', () => {
    expect(graph([0, 1, 2, 7], 10)).toBe('▁▂▃█');
    expect(graph([0, 0], 10)).toBe('▁▁');
    expect(graph([null, 5], 10)).toBe(' █');
  });

  test('shows the newest values that fit', () => {
    expect(graph([9, 0, 0, 4], 2)).toBe('▁█');
    expect(graph([1, 2], 0)).toBe('');
  });

  test('says which value a full bar has', () => {
    const lines = renderWatch([status(sample(0, { lag: 120 })), status(sample(1, { lag: 78 }))], {
      ...file,
      columns: 100,
    });
    expect(lines.find((line) => line.startsWith('lag '))).toMatch(/█▆ +78, full bar 120$/);
  });
});

describe('the lines', () => {
  const seen: Sample = { ...sample(1000), instances: [{ kind: 'seen', value: instance }] };
  const words = (lines: readonly string[]) => lines.join(' ').split(/\s+/);

  test('are at most as wide as the terminal for any values, and cut nothing', () => {
    const number = fc.oneof(fc.double(), fc.integer(), fc.constant(Number.NaN));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(number, number), { maxLength: 70 }),
        fc.integer({ min: 1, max: 200 }),
        (values, columns) => {
          const terminal = { ...file, columns };
          const all = values.map(([length, lag], at) => status(sample(at * 1000, { length, lag })));
          const drawn = [
            ...renderWatch(all, terminal),
            ...all.slice(0, 1).flatMap((one) => renderStatus(one, terminal)),
          ];
          for (const line of drawn) expect(line.length).toBeLessThanOrEqual(columns);
        },
      ),
    );
    for (const columns of [60, 80, 100]) {
      const narrow = renderStatus(status(seen), { ...file, columns });
      expect(words(narrow)).toEqual(words(renderStatus(status(seen), file)));
    }
  });

  test('begin with readiness and breakers of an instance, and are whole in a pipe', () => {
    expect(renderStatus(status(seen), file)).toContain(
      'processor:9464  ready, breakers closed, last commit 500ms ago, 1 record, 4 rows a batch, 2 in flight, 126 MB',
    );
  });

  test('begin with the reasons of the exit code, and end with a summary', () => {
    expect(renderStatus(status(seen), file).at(-1)).toBe('all is well');
    const paused = sample(0, { pause: { by: 'anna', reason: 'work', at: '2026' }, suspects: 2 });
    const lines = renderStatus({ ...status(paused), unreachable: ['redis: down'] }, file);
    expect(lines.slice(0, 3)).toEqual([
      'x redis: down',
      '! paused by anna: work',
      '! 2 entries are processed in isolation: instances crashed on them',
    ]);
    expect(lines.at(-1)).toBe('not well: 2 lines with !, 1 part out of reach (x)');
    expect(renderLine(status(paused))).toContain('paused by anna');
  });

  test('fit on the screen while watching, and count the lines left out', () => {
    const lines = renderWatch([status(seen)], { ...file, columns: 100, rows: 8 });
    expect(lines).toHaveLength(8);
    expect(lines.at(-1)).toMatch(/^\d+ more lines$/);
  });

  test('are coloured only where the terminal shows colours', () => {
    const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 80, rows: 24 });
    const terminal = (env: Record<string, string>) => terminalOf({ env, stdout });
    expect(terminal({ TERM: 'xterm' })).toMatchObject({ hasColor: true, isScreen: true });
    expect(terminal({ TERM: 'xterm', NO_COLOR: '1' })).toMatchObject({ hasColor: false });
    expect(terminal({ TERM: 'dumb' })).toMatchObject({ hasColor: false, isScreen: false });
    const colored = renderStatus(
      { ...status(seen), attention: ['a'] },
      { ...file, hasColor: true },
    );
    expect(colored[0]).toBe('\u001b[33m!\u001b[0m a');
  });

  test.each([
    ['one two three', 8, 2, ['one two', '  three']],
    ['abcdefgh', 3, 2, ['abc', ' de', ' fg', ' h']],
    ['short', 80, 2, ['short']],
  ])('wrap %j at %i columns', (line, columns, indent, lines) => {
    expect(wrap(line, columns, indent)).toEqual(lines);
  });
});

test('metrics are read with their labels, and other lines are skipped', () => {
  const text = '# HELP a b\na 1\nb{x="1 } 2"} 2.5 1700000000\nc NaN\nbad\n';
  expect([...parseMetrics(text)]).toEqual([
    ['a', 1],
    ['b{x="1 } 2"}', 2.5],
  ]);
});

test('one sample alone has no rates', () => {
  expect(ratesOf(null, sample(0))).toEqual(noRates);
});

describe('a status of several shards', () => {
  const paused = { by: 'anna', reason: 'planned work', at: '2026-01-01T00:00:00Z' };
  const before = shardSample(0, [
    { pending: 3, pause: paused },
    { pending: 3, pause: paused, added: 900 },
    { length: 50, lag: 7 },
    null,
  ]);
  const now = shardSample(stallMs, [
    { pending: 3, pause: paused },
    { pending: 3, pause: paused },
    {
      length: 50,
      lag: 7,
      losses: { entries: { trimmed_undelivered: 2, trimmed_pending: 0 }, lastMs: 0 },
    },
    null,
  ]);

  test('names the shards of each finding, those with the same one together', () => {
    expect(status(now, before).attention).toEqual([
      'shard 2: 2 entries were lost, the last 5s ago (trimmed unread: 2)',
      'shards 0-1: paused by anna: planned work',
      'shards 0-1: pending entries do not move: 3 held, none acknowledged in 5s',
    ]);
    expect(unreachableOf(now)).toEqual(['shard 3: redis ECONNREFUSED']);
  });

  test('sums the shards that answer, and shows each in a table', () => {
    const lines = renderStatus(status(now, before), file);
    expect(lines).toContain('stream          250 entries, 3 of 4 shards');
    expect(lines).toContain('lag             7 entries, oldest 0ms');
    expect(lines).toContain('  c0            6, asked 10ms ago');
    expect(lines.slice(-8, -2)).toEqual([
      'shard  entries  lag  oldest  pending  oldest  added/s  delivered/s  dead letters',
      '0      100      0    -       3        5ms     0        0            2',
      '1      100      0    -       3        5ms     20       0            2',
      '2      50       7    0ms     0        -       0        0            2',
      '3      -        -    -       -        -       -        -            -',
      'sum    250      7    0ms     6        5ms     20       0            6',
    ]);
    expect(renderLine(status(now, before))).toContain(
      ' shards=3/4 lag=7 lag_s=0 pending=6 in=20/s',
    );
  });
});
