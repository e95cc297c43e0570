import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attributesJson } from '../../src/teltonika/attributes.ts';
import { type AvlRecord, exactTimestamp } from '../../src/teltonika/avl-record.ts';
import { ioElements } from '../../src/teltonika/io.ts';
import {
  type AvlCodec,
  encodeArray,
  encodeCodec7,
  encodeRecord,
  type SentIo,
  type SentRecord,
  wrapTcp,
  wrapUdp,
} from '../../tools/teltonika/encode.ts';
import { imei, sentCodec7, sentRecord } from './arbitraries.ts';
import { attributesOf, packetOf, plain } from './expectations.ts';

const transports = [
  { transport: 'tcp', wrap: wrapTcp },
  { transport: 'udp', wrap: (data: Buffer) => wrapUdp(data, imei) },
  { transport: 'array', wrap: (data: Buffer) => data },
] as const;
const cases = (['8', '8E', '16'] as const).flatMap((codec) =>
  transports.map((each) => ({ codec, ...each })),
);

function expectSame(read: AvlRecord, sent: SentRecord, codec: AvlCodec, index: number): void {
  expect(read).toMatchObject({
    codec,
    index,
    priority: sent.priority,
    longitude: sent.longitude / 1e7,
    latitude: sent.latitude / 1e7,
    altitude: sent.altitude,
    angle: sent.angle,
    satellites: sent.satellites,
    speed: sent.speed,
    eventIoId: sent.eventIoId,
    generationType: codec === '16' ? sent.generationType : null,
    cell: null,
  });
  expect(exactTimestamp(read)).toBe(sent.ts);
  expect(read.ts).toBe(Number(sent.ts));
  expect(ioElements(read.io)).toEqual(elementsOf(sent.io));
  expect(String(attributesJson(read))).toBe(attributesOf(sent.io));
}

function elementsOf(io: readonly SentIo[]) {
  return io.map(({ id, value }) => ({ id, width: value.length, hex: value.toString('hex') }));
}

describe('what is encoded is what is decoded', () => {
  test.each(cases)('codec $codec, $transport', ({ codec, transport, wrap }) => {
    fc.assert(
      fc.property(fc.array(sentRecord(codec), { maxLength: 4 }), (sent) => {
        const data = encodeArray(
          codec,
          sent.map((record) => encodeRecord(codec, record)),
        );
        const packet = packetOf(wrap(data));
        expect(packet).toMatchObject({ codec, transport, faults: [] });
        expect(packet.imei).toBe(transport === 'udp' ? imei : null);
        expect(packet.records).toHaveLength(sent.length);
        packet.records.forEach((read, index) => {
          const record = sent[index];
          if (record !== undefined) expectSame(read, record, codec, index);
        });
      }),
      { numRuns: 150 },
    );
  });

  test.each(
    (['8', '8E', '16'] as const).flatMap((codec) =>
      [true, false].flatMap((sendsIo16) =>
        [true, false].map((prefersIo16) => ({ codec, sendsIo16, prefersIo16 })),
      ),
    ),
  )(
    'codec $codec, a 16-byte group sent: $sendsIo16, preferred: $prefersIo16',
    ({ codec, sendsIo16, prefersIo16 }) => {
      fc.assert(
        fc.property(
          fc.array(sentRecord(codec, sendsIo16), { minLength: 1, maxLength: 4 }),
          (sent) => {
            const data = encodeArray(
              codec,
              sent.map((record) => encodeRecord(codec, record, sendsIo16)),
            );
            const { records, faults } = packetOf(wrapTcp(data), { ...plain, io16: prefersIo16 });
            expect(faults).toEqual([]);
            expect(records).toHaveLength(sent.length);
            sent.forEach((record, index) => {
              const read = records[index];
              if (read !== undefined) expectSame(read, record, codec, index);
            });
          },
        ),
        { numRuns: 150 },
      );
    },
  );

  test('mostly zero values are not read in the other layout, whichever is preferred', () => {
    const value = fc.constantFrom(0, 0, 0, 1);
    const record = fc.record({
      ts: fc.bigInt({ min: 1_600_000_000_000n, max: 1_767_225_600_000n }),
      io: fc.array(fc.tuple(value, fc.constantFrom(1, 2, 4, 8) as fc.Arbitrary<1 | 2 | 4 | 8>), {
        maxLength: 4,
      }),
    });
    const zeros = {
      priority: 0,
      longitude: 0,
      latitude: 0,
      altitude: 0,
      angle: 0,
      satellites: 0,
      speed: 0,
      eventIoId: 0,
      generationType: 0,
    };
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 3 }), fc.boolean(), (list, io16) => {
        const sent = list.map(({ ts, io }) => {
          const inOrder = io.toSorted(([, a], [, b]) => a - b);
          const elements = inOrder.map(([id, group]) => ({
            id,
            group,
            value: Buffer.alloc(group),
          }));
          return { ...zeros, ts, io: elements };
        });
        const data = encodeArray(
          '8',
          sent.map((one) => encodeRecord('8', one)),
        );
        const { records } = packetOf(wrapTcp(data), { ...plain, io16 });
        expect(records.map(({ ts }) => BigInt(ts))).toEqual(sent.map(({ ts }) => ts));
      }),
      { numRuns: 20_000 },
    );
  });

  test.each(transports)('codec 7, $transport', ({ wrap }) => {
    fc.assert(
      fc.property(fc.array(sentCodec7, { maxLength: 4 }), (sent) => {
        const { records } = packetOf(wrap(encodeArray('7', sent.map(encodeCodec7))));
        expect(records).toHaveLength(sent.length);
        records.forEach((read, index) => {
          const from = sent[index];
          if (from === undefined) return;
          const { gps } = from;
          expect(read).toMatchObject({
            codec: '7',
            index,
            ts: (from.seconds + 1_167_609_600) * 1000,
            priority: from.priority,
            altitude: gps?.altitude ?? null,
            angle: gps?.angle === undefined ? null : (gps.angle * 360) / 256,
            speed: gps?.speed ?? null,
            satellites: gps?.satellites ?? null,
            eventIoId: null,
            generationType: null,
          });
          expect(read.latitude).toBe(gps?.coordinates?.latitude ?? null);
          expect(read.longitude).toBe(gps?.coordinates?.longitude ?? null);
          expect(exactTimestamp(read)).toBe(BigInt(read.ts));
          expect(read.cell).toEqual(cellOf(gps));
          expect(ioElements(read.io)).toEqual(elementsOf(from.io));
        });
      }),
      { numRuns: 300 },
    );
  });
});

function cellOf(gps: Parameters<typeof encodeCodec7>[0]['gps']) {
  if (gps?.cell === undefined && gps?.rssi === undefined && gps?.operator === undefined) {
    return null;
  }
  return {
    lac: gps.cell?.lac ?? null,
    cid: gps.cell?.cid ?? null,
    rssi: gps.rssi ?? null,
    operator: gps.operator ?? null,
  };
}
