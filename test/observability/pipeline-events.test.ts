import { describe, expect, test } from 'vitest';
import {
  type Batch,
  type EntryId,
  type HeldEntry,
  type Logger,
  type Outcomes,
  type Position,
  packFields,
} from '../../src/core/types.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import {
  createReadingEvents,
  createWritingEvents,
  limitRejections,
} from '../../src/observability/pipeline-events.ts';
import { entryTimeMs } from '../../src/stream/entry-id.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';

const nowMs = 1_763_683_200_000;

function open() {
  const metrics = createMetrics({ version: '1', revision: 'r' });
  const lines: { level: string; fields: object; msg: string }[] = [];
  const at = (level: string) => (fields: object, msg: string) => lines.push({ level, fields, msg });
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
  const now = () => nowMs;
  const reading = {
    now,
    entryTimeMs,
    mayLog: limitRejections(now),
    shard: null,
    redisAnswered() {},
  };
  const events = {
    ...createReadingEvents(metrics, log, reading),
    ...createWritingEvents(metrics, log, { now }),
  };
  const value = async (series: string): Promise<number | undefined> => {
    const text = await metrics.registry.metrics();
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  };
  return { events, lines, value };
}

const latency = (from: string, part: string) =>
  `processor_end_to_end_latency_seconds_${part}{from="${from}"}`;

function held(ageMs: number): HeldEntry {
  // As Redis would have printed it.
  const id = `${nowMs - ageMs}-0` as EntryId;
  const fields = packFields([]);
  const entry = { id, source: 'new', deliveries: 1, fields, bytes: 0, history: null } as const;
  const origin = { shard: null, settled() {} };
  return {
    entry,
    origin,
    records: 1,
    open: 0,
    rejections: [],
    isMessage: false,
    isReplaced: false,
  };
}

function row(ageMs: number): Position {
  const deviceId = '356307042441013';
  if (!isDeviceId(deviceId)) throw new Error('no device id');
  return {
    deviceId,
    ts: nowMs - ageMs,
    latitude: 54.7,
    longitude: 25.3,
    altitude: 1,
    angle: 2,
    speed: 3,
    satellites: 9,
    priority: 1,
    fix: true,
    eventIoId: null,
    generationType: null,
    codec: '8',
    attributes: '{}',
    recordIndex: 0,
  };
}

describe('latency', () => {
  test('counts every acknowledged entry from its id, and a future one as 0', async () => {
    const { events, value } = open();
    events.acknowledged([held(250), held(1500), held(60_000), held(-5000)], 1);

    expect(await value(latency('entry', 'count'))).toBe(4);
    expect(await value(latency('entry', 'sum'))).toBe(61.75);
    const upTo = 'processor_end_to_end_latency_seconds_bucket{le="2.5",from="entry"}';
    expect(await value(upTo)).toBe(3);
  });

  test('counts the first new record of each entry from the device', async () => {
    const { events, value } = open();
    const [first, second] = [held(0), held(0)];
    const batch: Batch = {
      id: 1,
      rows: [9000, 8000, 7000, 3000, 2000].map(row),
      owners: [first, first, first, second, second],
      closedBy: 'idle',
    };
    const outcomes: Outcomes = ['duplicate', 'inserted', 'inserted', 'conflict', 'inserted'];
    events.batch(batch, outcomes, 5, 1);

    expect(await value(latency('device', 'count'))).toBe(2);
    expect(await value(latency('device', 'sum'))).toBe(10);
  });
});

describe('a rejected entry', () => {
  test('counts as a decode error only when it could not be decoded', async () => {
    const { events, value } = open();
    const at = { message: 'x', recordIndex: null, offset: 4 } as const;
    const rejections = [
      { ...at, stage: 'decode', reason: 'crc_mismatch' },
      { ...at, stage: 'validate', reason: 'ts_out_of_range' },
    ] as const;
    events.rejected({ ...held(0), rejections: [...rejections] });

    expect(await value('processor_decode_errors_total{reason="crc_mismatch"}')).toBe(1);
    expect(await value('processor_decode_errors_total{reason="truncated"}')).toBe(0);
    for (const reason of ['crc_mismatch', 'ts_out_of_range']) {
      expect(await value(`processor_dead_letters_total{reason="${reason}"}`)).toBe(1);
    }
  });

  test('is logged at most 60 times a minute, and always counted', async () => {
    const { events, lines, value } = open();
    const rejection = {
      ...({ stage: 'decode', reason: 'truncated' } as const),
      message: 'x',
      recordIndex: null,
      offset: null,
    };
    for (let count = 0; count < 100; count += 1) {
      events.rejected({ ...held(0), rejections: [rejection] });
    }

    expect(lines).toHaveLength(60);
    expect(await value('processor_dead_letters_total{reason="truncated"}')).toBe(100);
  });
});
