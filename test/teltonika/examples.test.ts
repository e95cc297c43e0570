import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { exactTimestamp } from '../../src/teltonika/avl-record.ts';
import { decodeFrame } from '../../src/teltonika/decode.ts';
import { handshakeImei } from '../../src/teltonika/frame.ts';
import { ioElements } from '../../src/teltonika/io.ts';
import { parseMessage } from '../../src/teltonika/message.ts';
import { errorOf, packetOf, plain } from './expectations.ts';

const io = z.strictObject({ id: z.number(), width: z.number(), hex: z.string() });
const record = z.strictObject({
  timestampMs: z.number(),
  priority: z.number(),
  longitude: z.number(),
  latitude: z.number(),
  altitude: z.number(),
  angle: z.number(),
  satellites: z.number(),
  speed: z.number(),
  eventIoId: z.number(),
  generationType: z.number().optional(),
  io: z.array(io),
});
const message = z.strictObject({
  type: z.number(),
  hex: z.string().optional(),
  text: z.string(),
  imei: z.string().optional(),
  ts: z.number().optional(),
  timestampMs8: z.number().optional(),
});
const example = z.object({
  name: z.string(),
  codec: z.string().nullable(),
  transport: z.string(),
  hex: z.string(),
  crc_ok: z.boolean().nullable().optional(),
  expected: z.strictObject({
    numberOfData: z.number().optional(),
    records: z.array(record).optional(),
    messages: z.array(message).optional(),
    imei: z.string().optional(),
    mustReject: z.boolean().optional(),
    packetId: z.string().optional(),
    packetType: z.number().optional(),
    avlPacketId: z.number().optional(),
  }),
});
type Example = z.infer<typeof example>;

const file = new URL('../fixtures/teltonika/examples.json', import.meta.url);
const examples = z.array(example).parse(JSON.parse(readFileSync(file, 'utf8')));
const byKind = (kind: (each: Example) => boolean): Example[] => examples.filter(kind);
const bytesOf = ({ hex }: Example): Buffer => Buffer.from(hex, 'hex');
const codecNames: Record<string, string> = {
  '0x08': '8',
  '0x8E': '8E',
  '0x10': '16',
  '0x0C': '12',
  '0x0D': '13',
  '0x0E': '14',
  '0x0F': '15',
};

test('the fixtures hold every documented example', () => {
  expect(examples).toHaveLength(23);
});

describe('a documented packet decodes to its documented values', () => {
  test.each(byKind(({ expected }) => expected.records !== undefined))('$name', (each) => {
    const packet = packetOf(bytesOf(each));
    expect(packet.codec).toBe(codecNames[each.codec ?? '']);
    expect(packet.transport).toBe(each.transport);
    expect(packet.imei).toBe(each.expected.imei ?? null);
    expect(packet.faults).toEqual([]);
    expect(packet.records).toHaveLength(each.expected.numberOfData ?? -1);
    const decoded = packet.records.map((read) => ({
      timestampMs: read.ts,
      priority: read.priority,
      longitude: read.longitude,
      latitude: read.latitude,
      altitude: read.altitude,
      angle: read.angle,
      satellites: read.satellites,
      speed: read.speed,
      eventIoId: read.eventIoId,
      ...(read.generationType === null ? {} : { generationType: read.generationType }),
      io: ioElements(read.io),
    }));
    expect(decoded).toEqual(each.expected.records);
    expect(packet.records.map((read) => Number(exactTimestamp(read)))).toEqual(
      packet.records.map((read) => read.ts),
    );
  });
});

describe('a documented message decodes to its documented values', () => {
  test.each(byKind(({ expected }) => expected.messages !== undefined))('$name', (each) => {
    // One is printed with a wrong CRC: only its layout is of use.
    const options = { ...plain, skipCrc: each.crc_ok === false };
    const packet = decodeFrame(bytesOf(each), options);
    if (packet.kind !== 'message') throw new Error(`expected a message, got ${packet.kind}`);
    const [expected] = each.expected.messages ?? [];
    const read = parseMessage(packet.body);
    expect(packet.codec).toBe(codecNames[each.codec ?? '']);
    expect(packet.body.count).toBe(each.expected.numberOfData);
    expect(read.type).toBe(expected?.type);
    expect(read.text).toBe(expected?.text);
    expect(read.payload.toString('hex')).toBe(expected?.hex ?? '676574696e666f');
    expect(read.imeiHex).toBe(expected?.imei ?? null);
    expect(read.imei).toBe(expected?.imei?.slice(1) ?? null);
    const seconds = expected?.ts === undefined ? null : expected.ts * 1000;
    expect(read.timestamp).toBe(expected?.timestampMs8 ?? seconds);
    expect(read.rest).toHaveLength(0);
  });
});

test('the example printed with a wrong CRC is rejected unless the CRC is skipped', () => {
  const [nack] = byKind((each) => each.crc_ok === false);
  if (nack === undefined) throw new Error('the example is missing');
  expect(errorOf(bytesOf(nack))).toMatchObject({ code: 'crc_mismatch', offset: 24 });
  expect(decodeFrame(bytesOf(nack), { ...plain, skipCrc: true }).kind).toBe('message');
});

test('the example that the documents print malformed is rejected', () => {
  const [malformed] = byKind(({ expected }) => expected.mustReject === true);
  if (malformed === undefined) throw new Error('the example is missing');
  expect(errorOf(bytesOf(malformed))).toMatchObject({ code: 'truncated', offset: 74 });
});

describe('a documented handshake gives its IMEI and is no packet', () => {
  test.each(byKind(({ transport }) => transport === 'tcp-handshake'))('$name', (each) => {
    expect(handshakeImei(bytesOf(each))).toBe(each.expected.imei);
    expect(errorOf(bytesOf(each)).code).toBe('datagram_invalid');
  });
});
