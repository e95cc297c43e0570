import { describe, expect, test } from 'vitest';
import type { DeviceId } from '../../src/core/types.ts';
import type { BatchReport, DomainEvents, QueueSample } from '../../src/domain/ports.ts';
import { createDomainEvents } from '../../src/observability/domain-events.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';

function open(level: 'info' | 'debug' = 'info') {
  const metrics = createMetrics({ version: '1', revision: 'abc' });
  const lines: { level: string; msg: string }[] = [];
  const destination = { write: (line: string) => lines.push(JSON.parse(line)) };
  const log = createLogger({ level, env: 'test', instance: 'one', destination });
  const events: DomainEvents = createDomainEvents(metrics, log);
  const value = async (name: string, labels = '') => {
    const text = await metrics.registry.metrics();
    const series = `processor_domain_${name}{handler="geofences"${labels}}`;
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  };
  return { events, lines, value };
}

const report: BatchReport = {
  rows: 3,
  devices: 2,
  windows: 4,
  fixes: 90,
  records: { inserted: 5, superseded: 2, revived: 1, unchanged: 7 },
  mismatches: 0,
  clamped: 1,
  unknownDevices: 1,
  parkedRanges: 0,
  putBack: 0,
  stageMs: { take: 1, read: 20, compute: 3, write: 4 },
  latenciesMs: [400, -1],
};

const sample: QueueSample = {
  rows: 12,
  oldestMs: 61_500,
  parkedDevices: 2,
  isPaused: true,
  unknownDevices: 3,
};

function device(text: string): DeviceId {
  if (!isDeviceId(text)) throw new Error('no IMEI');
  return text;
}

describe('a committed batch', () => {
  test('is counted by windows, timing records and stages', async () => {
    const { events, value } = open();
    events.batch(report);
    expect(await value('windows_total')).toBe(4);
    expect(await value('windows_clamped_total')).toBe(1);
    for (const [result, count] of Object.entries(report.records)) {
      expect(await value('records_total', `,result="${result}"`), result).toBe(count);
    }
    expect(await value('duration_seconds_sum', ',stage="read"')).toBe(0.02);
    expect(await value('latency_seconds_count')).toBe(2);
    // A clock of the database that is ahead of this one counts as 0.
    expect(await value('latency_seconds_sum')).toBe(0.4);
  });

  test('is no line at info', () => {
    const { events, lines } = open();
    events.batch(report);
    expect(lines).toEqual([]);
  });

  test('whose fixes contradict the timing records is an error', async () => {
    const { events, lines, value } = open();
    events.batch({ ...report, mismatches: 2 });
    expect(await value('state_mismatch_total')).toBe(2);
    expect(lines).toMatchObject([{ level: 'error', windows: 2 }]);
  });
});

describe('a failing batch', () => {
  const failure = { code: '57P01', devices: 3, error: new Error('gone') };

  test('is counted by kind and logged less and less often', async () => {
    const { events, lines, value } = open();
    for (let attempt = 1; attempt <= 1000; attempt += 1) {
      events.failed({ ...failure, kind: 'unavailable', attempt });
    }
    events.recovered();
    expect(await value('errors_total', ',kind="unavailable"')).toBe(1000);
    expect(lines.map(({ level }) => level)).toEqual([...Array(10).fill('warn'), 'info']);
  });

  test('that needs a person is an error', () => {
    const { events, lines } = open();
    events.failed({ ...failure, kind: 'configuration', attempt: 1 });
    events.failed({ ...failure, kind: 'data', attempt: 1 });
    expect(lines.map(({ level }) => level)).toEqual(['error', 'error']);
  });

  test('that reloads geofences after an edit is normal', async () => {
    const { events, lines, value } = open();
    events.failed({ ...failure, kind: 'reload', attempt: 1 });
    expect(await value('errors_total', ',kind="reload"')).toBe(1);
    expect(lines).toEqual([]);
  });
});

test('a parked device is an error whose line does not name the device', () => {
  const imei = '356307042441013';
  const { events, lines } = open('debug');
  events.parked(device(imei), 5, '22003');
  expect(lines).toMatchObject([{ level: 'error', attempts: 5, code: '22003' }]);
  expect(JSON.stringify(lines)).not.toContain(imei);
});

describe('the contract', () => {
  test('has no state in the metrics until it was checked', async () => {
    expect(await open().value('contract_ok')).toBeUndefined();
  });

  test('that breaks names each object, and is reported again when it is as promised', async () => {
    const { events, lines, value } = open();
    const fault = { object: 'geofences_v1', problem: 'is missing', advice: 'run the SQL' };
    events.contract([fault]);
    expect(await value('contract_ok')).toBe(0);
    expect(lines).toMatchObject([{ level: 'error', faults: [fault] }]);
    events.contract([]);
    expect(await value('contract_ok')).toBe(1);
    expect(lines[1]).toMatchObject({ level: 'info' });
  });
});

describe('loaded geofences', () => {
  const refused = [{ geofence: '7', reason: 'self_intersecting' }];
  const load = { version: 3, active: 9, refused, refusedAssignments: 0, durationMs: 150 };

  test('are counted, and each refused one is logged once', async () => {
    const { events, lines, value } = open();
    events.loaded(load);
    events.loaded({ ...load, version: 4 });
    expect(await value('geofences', ',state="active"')).toBe(9);
    expect(await value('geofences', ',state="refused"')).toBe(1);
    expect(await value('reload_seconds_count')).toBe(2);
    const warnings = lines.filter(({ level }) => level === 'warn');
    expect(warnings).toMatchObject([{ geofence: '7', reason: 'self_intersecting' }]);
  });

  test('that are refused again for another reason are logged again', () => {
    const { events, lines } = open();
    events.loaded(load);
    events.loaded({ ...load, refused: [{ geofence: '7', reason: 'unclosed' }] });
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(2);
  });

  test('come with a line that counts the refused assignments, where there are any', () => {
    const { events, lines } = open();
    events.loaded({ ...load, refused: [], refusedAssignments: 3 });
    events.loaded({ ...load, refused: [] });
    expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([{ assignments: 3 }]);
  });

  test('do not fill the log when thousands are refused', () => {
    const { events, lines } = open();
    const many = [...Array(5000).keys()].map((id) => ({
      geofence: String(id),
      reason: 'unclosed',
    }));
    events.loaded({ ...load, refused: many });
    expect(lines).toHaveLength(22);
    expect(lines.at(-1)).toMatchObject({ level: 'warn', geofences: 4980 });
  });
});

describe('a sample of the outbox', () => {
  test('sets its gauges, which are absent before', async () => {
    const { events, value } = open();
    expect(await value('outbox_rows')).toBeUndefined();
    events.sampled(sample);
    expect(await value('outbox_rows')).toBe(12);
    expect(await value('outbox_oldest_seconds')).toBe(61.5);
    expect(await value('parked_devices')).toBe(2);
    expect(await value('paused')).toBe(1);
    expect(await value('unknown_devices')).toBe(3);
  });

  test('without a count of unknown devices keeps the last one', async () => {
    const { events, value } = open();
    events.sampled(sample);
    events.sampled({ ...sample, unknownDevices: null });
    expect(await value('unknown_devices')).toBe(3);
  });
});

test('changes, a compaction and a wait are one line each', () => {
  const { events, lines } = open();
  events.changed({ changed: 2, enqueued: 40 });
  events.compacted({ before: 1_000_001, after: 300 });
  events.waiting('paused');
  events.waiting(null);
  expect(lines).toMatchObject([
    { level: 'info', changed: 2, ranges: 40 },
    { level: 'warn', before: 1_000_001, after: 300 },
    { level: 'info', cause: 'paused' },
    { level: 'info' },
  ]);
});
