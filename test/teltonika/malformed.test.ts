import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeFrame } from '../../src/teltonika/decode.ts';
import { maxFrameBytes } from '../../src/teltonika/frame.ts';
import { maxIoElements } from '../../src/teltonika/io.ts';
import {
  encodeArray,
  encodeCodec7,
  encodeRecord,
  type SentIo,
  type SentRecord,
  uint,
  wrapTcp,
  wrapUdp,
} from '../../tools/teltonika/encode.ts';
import { imei, sentCodec7, sentRecord } from './arbitraries.ts';
import { errorOf, packetOf, plain } from './expectations.ts';

const still: SentRecord = {
  ts: 1_767_225_600_000n,
  priority: 0,
  longitude: 252_562_916,
  latitude: 546_676_016,
  altitude: 138,
  angle: 90,
  satellites: 11,
  speed: 40,
  eventIoId: 0,
  generationType: 0,
  io: [{ id: 239, group: 1, value: Buffer.of(1) }],
};
const recordBytes = 32;
/** Behind the 24 bytes of the header and the event id. */
const ioTotalAt = 25;
const array = (count: number): Buffer =>
  encodeArray(
    '8',
    Array.from({ length: count }, () => encodeRecord('8', still)),
  );

/** Changes one byte of a data field before it is wrapped. */
function withByte(data: Buffer, at: number, value: number): Buffer {
  const changed = Buffer.from(data);
  changed[at] = value;
  return changed;
}

describe('a packet cut anywhere is rejected with an offset inside it', () => {
  const wraps = [
    { name: 'tcp', wrap: wrapTcp },
    { name: 'udp', wrap: (data: Buffer) => wrapUdp(data, imei) },
    { name: 'array', wrap: (data: Buffer) => data },
  ];
  const arrays = fc.oneof(
    ...(['8', '8E', '16'] as const).map((codec) =>
      fc.array(sentRecord(codec), { minLength: 1, maxLength: 2 }).map((sent) =>
        encodeArray(
          codec,
          sent.map((record) => encodeRecord(codec, record)),
        ),
      ),
    ),
    fc
      .array(sentCodec7, { minLength: 1, maxLength: 2 })
      .map((sent) => encodeArray('7', sent.map(encodeCodec7))),
  );

  test.each(wraps)('$name', ({ wrap }) => {
    fc.assert(
      fc.property(arrays, (data) => {
        const whole = wrap(data);
        for (let size = 0; size < whole.length; size += 1) {
          // A cut array can be a shorter whole one by chance: then it must read as one, no more.
          const cut = decodeFrame(whole.subarray(0, size), plain);
          if (cut.kind === 'error') errorOf(whole.subarray(0, size));
          else if (whole[0] === 0) throw new Error(`cut at ${size} of ${whole.length} was taken`);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('and what cuts a TCP frame is named truncated', () => {
    const whole = wrapTcp(array(2));
    for (let size = 0; size < whole.length; size += 1) {
      expect(errorOf(whole.subarray(0, size))).toMatchObject({ code: 'truncated', offset: size });
    }
  });

  test('and what cuts a datagram is named truncated once its header is there', () => {
    const whole = wrapUdp(array(2), imei);
    for (let size = 8; size < whole.length; size += 1) {
      expect(errorOf(whole.subarray(0, size))).toMatchObject({ code: 'truncated', offset: size });
    }
  });
});

describe('the wrapping', () => {
  test('a byte after a TCP frame is trailing', () => {
    const frame = wrapTcp(array(1));
    expect(errorOf(Buffer.concat([frame, Buffer.of(0xff)]))).toMatchObject({
      code: 'trailing_bytes',
      offset: frame.length,
    });
  });

  test('a second channel packet in a datagram is trailing', () => {
    const datagram = wrapUdp(array(1), imei);
    expect(errorOf(Buffer.concat([datagram, datagram]))).toMatchObject({
      code: 'trailing_bytes',
      offset: datagram.length,
    });
  });

  test('a byte after a bare array is trailing', () => {
    const data = array(1);
    expect(errorOf(Buffer.concat([data, Buffer.of(1)]))).toMatchObject({
      code: 'trailing_bytes',
      offset: data.length,
    });
  });

  test('a wrong CRC is reported with its offset, and only skipCrc accepts it', () => {
    const frame = wrapTcp(array(1));
    const changed = withByte(frame, 20, 0x55);
    expect(errorOf(changed)).toMatchObject({ code: 'crc_mismatch', offset: frame.length - 4 });
    expect(packetOf(changed, { ...plain, skipCrc: true }).records).toHaveLength(1);
  });

  test('the upper half of the CRC field must be zero', () => {
    const frame = wrapTcp(array(1));
    expect(errorOf(withByte(frame, frame.length - 4, 1)).code).toBe('crc_mismatch');
  });

  test('skipCrc still wants the four bytes', () => {
    const frame = wrapTcp(array(1));
    const cut = frame.subarray(0, frame.length - 4);
    expect(errorOf(cut, { ...plain, skipCrc: true }).code).toBe('truncated');
  });

  test('a claimed length of 4 GiB is truncated, not allocated', () => {
    const frame = Buffer.concat([uint(0, 4), uint(0xffff_ffff, 4), array(1)]);
    expect(errorOf(frame).code).toBe('truncated');
  });

  test('a data field of no byte, and one too short for its counts, contradict themselves', () => {
    expect(errorOf(wrapTcp(Buffer.alloc(0)))).toMatchObject({ code: 'length_mismatch', offset: 4 });
    expect(errorOf(wrapTcp(Buffer.of(8, 0)))).toMatchObject({ code: 'length_mismatch', offset: 8 });
  });

  test('a datagram whose IMEI is not 15 digits is invalid', () => {
    const datagram = wrapUdp(array(1), `${imei.slice(0, 14)}A`);
    expect(errorOf(datagram)).toMatchObject({ code: 'datagram_invalid', offset: 8 });
  });

  test('a datagram whose IMEI length is not 15 is invalid', () => {
    expect(errorOf(withByte(wrapUdp(array(1), imei), 7, 16))).toMatchObject({
      code: 'datagram_invalid',
      offset: 6,
    });
  });

  test('a datagram whose length covers no data contradicts itself', () => {
    const datagram = wrapUdp(array(1), imei);
    datagram.writeUInt16BE(21, 0);
    expect(errorOf(datagram)).toMatchObject({ code: 'length_mismatch', offset: 0 });
  });

  test('an array is not taken for a datagram although its time holds 000F', () => {
    const record = encodeRecord('8', { ...still, ts: 0x0000_0100_000f_0000n });
    expect(packetOf(encodeArray('8', [record])).transport).toBe('array');
  });

  test('an array is not taken for a datagram although its count makes a fitting length, too', () => {
    const io = [
      { id: 1, group: 1, value: Buffer.of(1) } as const,
      ...Array.from({ length: 224 }, (_, id): SentIo => {
        return { id, group: 8, value: Buffer.alloc(8) };
      }),
    ];
    const record = encodeRecord('8', { ...still, ts: 0x0000_0100_000f_0000n, io });
    const data = encodeArray('8', [record]);
    expect(data.readUInt16BE(0)).toBe(data.length - 2);
    expect(packetOf(data).transport).toBe('array');
  });

  test('a ping, text and a channel acknowledgement are not packets', () => {
    expect(errorOf(Buffer.of(0xff)).code).toBe('preamble_invalid');
    expect(errorOf(Buffer.from('GET / HTTP/1.1')).code).toBe('preamble_invalid');
    expect(errorOf(Buffer.from('0003cafe02', 'hex')).code).toBe('datagram_invalid');
  });

  test('a message without its wrapping cannot be trusted to be one', () => {
    expect(errorOf(Buffer.from('0c010500000001410', 'hex')).code).toBe('message_invalid');
  });

  test('a frame beyond the cap is too large', () => {
    expect(errorOf(Buffer.alloc(maxFrameBytes + 1)).code).toBe('entry_too_large');
  });
});

describe('the data field', () => {
  test('an unknown codec id is reported with its offset', () => {
    expect(errorOf(wrapTcp(withByte(array(1), 0, 0x04)))).toMatchObject({
      code: 'codec_unknown',
      offset: 8,
    });
  });

  test('the two record counts must agree', () => {
    const data = array(2);
    const changed = withByte(data, data.length - 1, 3);
    const at = data.length - 1;
    expect(errorOf(wrapTcp(changed))).toMatchObject({ code: 'count_mismatch', offset: at + 8 });
    expect(errorOf(wrapUdp(changed, imei))).toMatchObject({
      code: 'count_mismatch',
      offset: at + 23,
    });
    expect(errorOf(changed)).toMatchObject({ code: 'count_mismatch', offset: at });
  });

  test('counts that claim more records than there are run out of bytes', () => {
    const data = withByte(withByte(array(2), 1, 3), 2 + 2 * recordBytes, 3);
    expect(errorOf(wrapTcp(data))).toMatchObject({ code: 'truncated', offset: 10 + 64 });
  });

  test('counts that claim fewer leave bytes over', () => {
    const data = withByte(withByte(array(2), 1, 1), 2 + 2 * recordBytes, 1);
    expect(errorOf(wrapTcp(data))).toMatchObject({ code: 'length_mismatch', offset: 10 + 32 });
  });

  test('a packet of no record is whole', () => {
    expect(packetOf(wrapTcp(array(0))).records).toEqual([]);
  });

  test('a packet of 255 records is whole, unless fewer are allowed', () => {
    const frame = wrapTcp(array(255));
    expect(packetOf(frame).records).toHaveLength(255);
    expect(errorOf(frame, { ...plain, maxRecords: 254 })).toMatchObject({
      code: 'record_count_exceeded',
      offset: 9,
    });
  });
});

describe('the IO section', () => {
  const TOTAL_AT = 2 + 25;

  test('a total that is not the sum of its groups makes that one record bad', () => {
    const data = withByte(array(3), TOTAL_AT + recordBytes, 9);
    const packet = packetOf(wrapTcp(data));
    expect(packet.records.map(({ index }) => index)).toEqual([0, 2]);
    expect(packet.faults).toMatchObject([
      { index: 1, error: { code: 'io_count_mismatch', offset: 8 + TOTAL_AT + recordBytes } },
    ]);
  });

  test('a group count beyond the bytes is truncated at the group', () => {
    expect(errorOf(wrapTcp(withByte(array(1), TOTAL_AT + 1, 200)))).toMatchObject({
      code: 'truncated',
      offset: 8 + TOTAL_AT + 2,
    });
  });

  test('a wrong total whose packet does not add up is what the packet is rejected for', () => {
    const data = withByte(withByte(array(2), TOTAL_AT, 9), TOTAL_AT + recordBytes + 1, 200);
    expect(errorOf(wrapTcp(data))).toMatchObject({
      code: 'io_count_mismatch',
      offset: 8 + TOTAL_AT,
    });
  });

  test('a variable element longer than the packet is truncated', () => {
    const sent: SentIo = { id: 385, group: 'variable', value: Buffer.alloc(4) };
    const data = encodeArray('8E', [encodeRecord('8E', { ...still, io: [sent] })]);
    data.writeUInt16BE(0xffff, data.length - 1 - 4 - 2);
    expect(errorOf(wrapTcp(data)).code).toBe('truncated');
  });

  test('a variable element whose header reaches into the second count is truncated', () => {
    const data = encodeArray('8E', [encodeRecord('8E', { ...still, io: [] })]);
    // The variable group claims one element; id and length would have to be 4 bytes.
    const claimed = Buffer.concat([data.subarray(0, -3), Buffer.of(0, 1, 0, 9, 0, 1)]);
    expect(errorOf(wrapTcp(claimed))).toMatchObject({
      code: 'truncated',
      offset: 8 + data.length - 1,
    });
  });

  test('more elements than any device sends make that one record bad', () => {
    const io = Array.from({ length: maxIoElements + 1 }, (_, id): SentIo => {
      return { id, group: 1, value: Buffer.of(1) };
    });
    const records = [{ ...still, io }, still, { ...still, io: io.slice(1) }];
    const packet = packetOf(
      wrapTcp(
        encodeArray(
          '8E',
          records.map((record) => encodeRecord('8E', record)),
        ),
      ),
    );
    expect(packet.records.map(({ index }) => index)).toEqual([1, 2]);
    expect(packet.faults).toMatchObject([{ index: 0, error: { code: 'attribute_count' } }]);
  });

  test('a record at fault in a packet with 16-byte groups leaves its neighbours readable', () => {
    const io: SentIo[] = [{ id: 7, group: 16, value: Buffer.alloc(16, 0xab) }];
    const good = encodeRecord('8', { ...still, io }, true);
    const miscounted = withByte(good, ioTotalAt, 9);
    const packet = packetOf(wrapTcp(encodeArray('8', [good, miscounted, good])));
    expect(packet.records.map(({ index }) => index)).toEqual([0, 2]);
    expect(packet.faults).toMatchObject([{ index: 1, error: { code: 'io_count_mismatch' } }]);
  });

  test('a packet that fits neither layout is rejected', () => {
    const cut = encodeRecord('8', still).subarray(0, -1);
    const frame = wrapTcp(encodeArray('8', [cut]));
    const errors = [false, true].map((io16) => decodeFrame(frame, { ...plain, io16 }));
    expect(errors).toMatchObject([{ kind: 'error' }, { kind: 'error' }]);
  });
});
