import { describe, expect, test } from 'vitest';
import { decodeFrame } from '../../src/teltonika/decode.ts';
import { parseMessage } from '../../src/teltonika/message.ts';
import { encodeMessage, uint, wrapTcp, wrapUdp } from '../../tools/teltonika/encode.ts';
import { imei } from './arbitraries.ts';
import { plain } from './expectations.ts';

function read(codecId: number, body: Buffer, count = 1) {
  const packet = decodeFrame(wrapTcp(encodeMessage(codecId, count, body)), plain);
  if (packet.kind !== 'message') throw new Error(`expected a message, got ${packet.kind}`);
  return parseMessage(packet.body);
}

const message = (type: number, size: number, ...parts: Buffer[]): Buffer =>
  Buffer.concat([uint(type, 1), uint(size, 4), ...parts]);
const text = Buffer.from('"GTSL|1"');

describe('codec 13 has its time in each of the documented or captured layouts', () => {
  const seconds = uint(0x642b_3ad1, 4);
  const milliseconds = uint(1_563_544_372_000n, 8);

  test.each([
    {
      form: 'seconds, counted in the size',
      body: message(6, 12, seconds, text),
      ms: 0x642b_3ad1 * 1000,
    },
    { form: 'seconds, not counted', body: message(6, 8, seconds, text), ms: 0x642b_3ad1 * 1000 },
    {
      form: 'milliseconds, counted',
      body: message(5, 16, milliseconds, text),
      ms: 1_563_544_372_000,
    },
    {
      form: 'milliseconds, not counted',
      body: message(5, 8, milliseconds, text),
      ms: 1_563_544_372_000,
    },
  ])('$form', ({ body, ms }) => {
    const { timestamp, text: reported, rest } = read(13, body);
    expect(timestamp).toBe(ms);
    expect(reported).toBe('"GTSL|1"');
    expect(rest).toHaveLength(0);
  });

  test('the payload is whole when no time is plausible', () => {
    expect(read(13, message(6, 4, Buffer.from('ab\0\0', 'latin1')))).toMatchObject({
      timestamp: 1_633_812_480_000,
    });
    const { timestamp, text: reported } = read(13, message(6, 3, Buffer.from('abc')));
    expect([timestamp, reported]).toEqual([null, 'abc']);
  });
});

test('a payload that is not UTF-8 has no text, but its bytes', () => {
  const { text: reported, payload } = read(12, message(0x0d, 3, Buffer.of(0xff, 0xd8, 0xff)));
  expect(reported).toBeNull();
  expect(payload.toString('hex')).toBe('ffd8ff');
});

test('an IMEI that starts with a zero keeps it', () => {
  const body = message(5, 8, Buffer.from('0012345678901234', 'hex'));
  expect(read(14, body).imei).toBe('012345678901234');
});

test('an IMEI with characters that are not digits is given as hex only', () => {
  const { imei: reported, imeiHex } = read(
    14,
    message(6, 8, Buffer.from('0352093081452abc', 'hex')),
  );
  expect([reported, imeiHex]).toEqual([null, '0352093081452abc']);
});

test('of several messages the first is read and the others are kept', () => {
  const second = message(5, 1, Buffer.from('b'));
  const { text: reported, rest } = read(
    12,
    Buffer.concat([message(5, 1, Buffer.from('a')), second]),
    2,
  );
  expect(reported).toBe('a');
  expect(rest).toEqual(second);
});

test('a size beyond the packet is the rest of the packet', () => {
  expect(read(12, message(5, 0xffff_ffff, Buffer.from('abc'))).text).toBe('abc');
});

test('a packet with a right length and CRC is accepted whatever its message layout', () => {
  for (const codecId of [12, 13, 14, 15]) {
    for (let size = 0; size < 20; size += 1) {
      const { payload, rest } = read(codecId, Buffer.alloc(size, 1));
      expect(payload.length + rest.length).toBeLessThanOrEqual(size);
    }
    expect(decodeFrame(wrapTcp(uint(codecId, 1)), plain).kind).toBe('message');
  }
});

test('the second count of a message is not compared', () => {
  const data = encodeMessage(12, 1, message(5, 1, Buffer.from('a')));
  data[data.length - 1] = 9;
  expect(decodeFrame(wrapTcp(data), plain).kind).toBe('message');
});

test('a message in a datagram is read, with the IMEI of the datagram', () => {
  const packet = decodeFrame(wrapUdp(encodeMessage(12, 1, message(5, 0)), imei), plain);
  expect(packet).toMatchObject({ kind: 'message', codec: '12', transport: 'udp', imei });
});

describe('a message that holds fewer bytes than it states', () => {
  test.each([12, 13, 14, 15])('of codec %i says how many it should have', (codec) => {
    const whole = Buffer.alloc(20, 0x31);
    expect(read(codec, message(6, 500, whole)).statedSize).toBe(500);
    expect(read(codec, message(6, 20, whole)).statedSize).toBeNull();
  });

  test('that states fewer bytes than its packet keeps the rest', () => {
    const { text: content, rest, statedSize } = read(12, message(6, 4, Buffer.from('abcdefgh')));
    expect([content, rest.toString(), statedSize]).toEqual(['abcd', 'efgh', null]);
  });
});
