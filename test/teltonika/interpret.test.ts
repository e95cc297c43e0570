import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ByteRange,
  type DeviceId,
  type EntryContent,
  type Interpretation,
  type Position,
} from '../../src/core/types.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';
import { createInterpret, interpretContent } from '../../src/teltonika/interpret.ts';
import {
  type AvlCodec,
  encodeArray,
  encodeCodec7,
  encodeMessage,
  encodeRecord,
  type SentIo,
  type SentRecord,
  wrapTcp,
  wrapUdp,
} from '../../tools/teltonika/encode.ts';
import { entryOf } from '../stream/entries.ts';
import { imei, storableRecord } from './arbitraries.ts';
import { withTexts } from './expectations.ts';

type PayloadContent = Extract<EntryContent, { form: 'payload' }>;

const nowMs = Date.UTC(2026, 0, 1);
const options = {
  nowMs,
  tsMaxPastMs: 10 * 365 * 86_400_000,
  tsMaxFutureMs: 86_400_000,
  maxRecords: 255,
  io16: false,
};

function device(text: string): DeviceId {
  if (!isDeviceId(text)) throw new Error('not an IMEI');
  return text;
}

const deviceId = device(imei);
const other = device('352093081452251');

const sent: SentRecord = {
  ts: BigInt(nowMs - 1000),
  priority: 1,
  longitude: 252_562_916,
  latitude: 546_676_016,
  altitude: -12,
  angle: 90,
  satellites: 11,
  speed: 40,
  eventIoId: 239,
  generationType: 0,
  io: [{ id: 239, group: 1, value: Buffer.of(1) }],
};

const arrayOf = (codec: AvlCodec, records: readonly SentRecord[]): Buffer =>
  encodeArray(
    codec,
    records.map((record) => encodeRecord(codec, record)),
  );
const interpretFrame = (frame: Buffer, more: Partial<typeof options> = {}): Interpretation =>
  interpretContent({ form: 'frame', deviceId, frame }, { ...options, ...more });
const interpretSent = (...records: SentRecord[]): Interpretation =>
  interpretFrame(wrapTcp(arrayOf('8E', records)));

function recordsOf(read: Interpretation) {
  if (read.kind !== 'records') throw new Error(`expected records, got ${JSON.stringify(read)}`);
  return { ...read, positions: withTexts(read.positions) };
}

function rejectionOf(read: Interpretation) {
  if (read.kind !== 'rejected') throw new Error(`expected a rejection, got ${read.kind}`);
  return read.rejection;
}

describe('a frame', () => {
  test('gives a position a record, with every field of the wire', () => {
    const { positions, rejections } = recordsOf(interpretSent(sent, { ...sent, speed: 41 }));
    expect(rejections).toEqual([]);
    expect(positions).toEqual(
      [40, 41].map((speed, recordIndex) => ({
        deviceId,
        ts: nowMs - 1000,
        latitude: 54.6676016,
        longitude: 25.2562916,
        altitude: -12,
        angle: 90,
        speed,
        satellites: 11,
        priority: 1,
        fix: true,
        eventIoId: 239,
        generationType: null,
        codec: '8E',
        attributes: '{"239":1}',
        recordIndex,
      })),
    );
  });

  test('of no record gives no position and no rejection', () => {
    expect(interpretSent()).toEqual({ kind: 'records', positions: [], rejections: [] });
  });

  test('with a bad record among good ones gives the good ones and says which was bad', () => {
    const { positions, rejections } = recordsOf(
      interpretSent(
        sent,
        { ...sent, latitude: 900_000_001 },
        { ...sent, ts: 1_072_915_200_000n },
        sent,
        { ...sent, ts: 2n ** 64n - 1n },
      ),
    );
    expect(positions.map(({ recordIndex }) => recordIndex)).toEqual([0, 3]);
    expect(rejections).toMatchObject([
      { stage: 'validate', reason: 'latitude_out_of_range', recordIndex: 1, offset: 10 + 39 + 2 },
      { stage: 'validate', reason: 'ts_out_of_range', recordIndex: 2 },
      { stage: 'validate', reason: 'ts_out_of_range', recordIndex: 4 },
    ]);
  });

  test('with a record whose IO total is wrong gives the others', () => {
    const data = arrayOf('8', [sent, sent]);
    data[2 + 25] = 7;
    const { positions, rejections } = recordsOf(interpretFrame(wrapTcp(data)));
    expect(positions.map(({ recordIndex }) => recordIndex)).toEqual([1]);
    expect(rejections).toMatchObject([
      { stage: 'decode', reason: 'io_count_mismatch', recordIndex: 0 },
    ]);
  });

  test('that is damaged is rejected as a whole', () => {
    const frame = wrapTcp(arrayOf('8', [sent]));
    frame[20] = 0x55;
    expect(rejectionOf(interpretFrame(frame))).toMatchObject({
      stage: 'decode',
      reason: 'crc_mismatch',
      recordIndex: null,
      offset: frame.length - 4,
    });
  });

  test('with more records than are allowed is rejected as a whole', () => {
    const frame = wrapTcp(arrayOf('8', [sent, sent]));
    expect(rejectionOf(interpretFrame(frame, { maxRecords: 1 })).reason).toBe(
      'record_count_exceeded',
    );
  });

  test.each([
    [12, '12'],
    [13, '13'],
    [14, '14'],
    [15, '15'],
  ] as const)('of codec %i is a message', (codecId, codec) => {
    const frame = wrapTcp(encodeMessage(codecId, 1, Buffer.from('anything')));
    expect(interpretFrame(frame)).toEqual({ kind: 'message', codec });
  });

  test('in a datagram must come from the device that the entry names', () => {
    const positions = arrayOf('8E', [sent]);
    expect(recordsOf(interpretFrame(wrapUdp(positions, imei))).positions).toHaveLength(1);
    for (const data of [positions, encodeMessage(12, 1, Buffer.alloc(0))]) {
      const rejection = rejectionOf(interpretFrame(wrapUdp(data, other)));
      expect(rejection).toMatchObject({ stage: 'validate', reason: 'device_id_mismatch' });
      expect(rejection.message).not.toMatch(/[0-9]{15}/);
    }
  });

  test('of codec 7 without a GPS element gives a position without coordinates', () => {
    const seconds = nowMs / 1000 - 1_167_609_600;
    const io: SentIo[] = [{ id: 1, group: 1, value: Buffer.of(99) }];
    const frame = wrapTcp(
      encodeArray('7', [encodeCodec7({ seconds, priority: 2, gps: null, io })]),
    );
    expect(recordsOf(interpretFrame(frame)).positions).toMatchObject([
      { ts: nowMs, latitude: null, longitude: null, fix: false, eventIoId: null, codec: '7' },
    ]);
  });

  test('of codec 7 whose latitude is not a number is out of range', () => {
    const seconds = nowMs / 1000 - 1_167_609_600;
    const gps = { coordinates: { latitude: Number.NaN, longitude: 0 } };
    const frame = wrapTcp(encodeArray('7', [encodeCodec7({ seconds, priority: 0, gps, io: [] })]));
    expect(recordsOf(interpretFrame(frame))).toMatchObject({
      positions: [],
      rejections: [{ reason: 'latitude_out_of_range', recordIndex: 0 }],
    });
  });

  test('without satellites, or at 0/0, gives a position that is no fix', () => {
    const { positions } = recordsOf(
      interpretSent({ ...sent, satellites: 0 }, { ...sent, latitude: 0, longitude: 0 }),
    );
    expect(positions.map(({ fix }) => fix)).toEqual([false, false]);
  });
});

describe('a payload', () => {
  const payload = {
    device_id: imei,
    timestamp: '2025-12-31T23:59:59.000Z',
    latitude: 54.6676016,
    longitude: 25.2562916,
    altitude: -12,
    angle: 90,
    speed: 40,
    satellites: 11,
    priority: 1,
    event_io_id: 239,
    attributes: { '239': 1 },
  };
  const interpretPayload = (fields: object = {}, entry: Partial<PayloadContent> = {}) =>
    interpretContent(
      {
        form: 'payload',
        deviceId,
        ts: nowMs - 1000,
        codec: '8E',
        payload: new ByteRange(Buffer.from(JSON.stringify({ ...payload, ...fields }))),
        ...entry,
      },
      options,
    );

  test('gives the very position that the same record gives as a frame', () => {
    expect(recordsOf(interpretPayload())).toEqual(recordsOf(interpretSent(sent)));
  });

  test.each([
    ['another device', { device_id: other }, 'validate', 'device_id_mismatch'],
    ['another time', { timestamp: '2025-12-31T23:59:59.001Z' }, 'validate', 'ts_mismatch'],
    ['a latitude off the globe', { latitude: 90.5 }, 'validate', 'latitude_out_of_range'],
    ['half a satellite', { satellites: 1.5 }, 'validate', 'satellites_out_of_range'],
    ['an unsigned altitude', { altitude: 65_535 }, 'validate', 'altitude_out_of_range'],
    ['an unknown key', { x: 1 }, 'decode', 'payload_shape'],
    ['a bad attribute', { attributes: { x: 1 } }, 'decode', 'attribute_invalid'],
  ] as const)('with %s is rejected', (_name, fields, stage, reason) => {
    expect(rejectionOf(interpretPayload(fields))).toMatchObject({
      stage,
      reason,
      recordIndex: null,
    });
  });

  test('beyond the time window is rejected', () => {
    const ts = nowMs + options.tsMaxFutureMs + 1;
    const timestamp = new Date(ts).toISOString();
    expect(rejectionOf(interpretPayload({ timestamp }, { ts })).reason).toBe('ts_out_of_range');
  });

  test.each([
    ['in the usual form', JSON.stringify, 0],
    ['with spaces', (value: object) => JSON.stringify(value, null, 1), 1],
  ] as const)('%s: the full reading is counted', (_name, write, fallbacks) => {
    let counted = 0;
    const events = { onLuhnFailure() {}, onMessage() {}, onScanFallback: () => (counted += 1) };
    const limits = { ...options, maxEntryBytes: 10_000 };
    const read = createInterpret(limits, () => nowMs, events);
    const entry = ['device_id', deviceId, 'ts', payload.timestamp, 'codec', '8E'];

    const { positions } = recordsOf(read(entryOf([...entry, 'payload', write(payload)])));

    expect(positions).toEqual(recordsOf(interpretSent(sent)).positions);
    expect(counted).toBe(fallbacks);
  });

  test('at -0 stands at 0', () => {
    const json = JSON.stringify({ ...payload, latitude: '@' }).replace('"@"', '-0');
    const { positions } = recordsOf(
      interpretPayload({}, { payload: new ByteRange(Buffer.from(json)) }),
    );
    expect(positions[0]?.latitude).toBe(0);
  });

  test.each(['8', '8E', '16'] as const)(
    'of codec %s gives the frame position for any record, to the attribute text',
    (codec) => {
      fc.assert(
        fc.property(storableRecord(codec), (record) => {
          const frame = wrapTcp(arrayOf(codec, [record]));
          const content: EntryContent = {
            form: 'payload',
            deviceId,
            ts: Number(record.ts),
            codec,
            payload: new ByteRange(payloadOf(codec, record)),
          };
          const [asFrame] = recordsOf(interpretFrame(frame)).positions;
          const [asPayload] = recordsOf(interpretContent(content, options)).positions;
          expect(asPayload).toEqual(asFrame);
        }),
        { numRuns: 200 },
      );
    },
  );
});

/** What the ingestion service makes of a record: form A. */
function payloadOf(codec: AvlCodec, record: SentRecord): Buffer {
  const last = new Map(record.io.map((element) => [element.id, element]));
  const fields: Record<string, unknown> = {
    device_id: imei,
    timestamp: new Date(Number(record.ts)).toISOString(),
    latitude: record.latitude / 1e7,
    longitude: record.longitude / 1e7,
    altitude: record.altitude,
    angle: record.angle,
    speed: record.speed,
    satellites: record.satellites,
    priority: record.priority,
    event_io_id: record.eventIoId,
    ...(codec === '16' ? { generation_type: record.generationType } : {}),
    attributes: Object.fromEntries([...last].map(([id, element]) => [id, sentinelOf(element)])),
  };
  return Buffer.from(JSON.stringify(fields));
}

function sentinelOf({ group, value }: SentIo): number | object {
  if (group === 'variable') return { __buffer_b64: value.toString('base64') };
  const integer = BigInt(`0x${value.toString('hex')}`);
  return group === 8 ? { __bigint: integer.toString() } : Number(integer);
}

test('a position holds nothing that is not of its type', () => {
  const [position] = recordsOf(interpretSent(sent)).positions;
  const keys: (keyof Position)[] = [
    'deviceId',
    'ts',
    'latitude',
    'longitude',
    'altitude',
    'angle',
    'speed',
    'satellites',
    'priority',
    'fix',
    'eventIoId',
    'generationType',
    'codec',
    'attributes',
    'recordIndex',
  ];
  expect(Object.keys(position ?? {}).sort()).toEqual([...keys].sort());
});
