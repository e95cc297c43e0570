import type { Codec } from '../core/types.ts';
import { writeCodec7Record } from './codec7-encoder.ts';
import { crc16 } from './crc16.ts';
import type { ParcelRecord } from './faults.ts';
import type { IoGroups, TrackerRecord } from './record.ts';

const codecIds: Readonly<Record<Codec, number>> = { '7': 0x07, '8': 0x08, '8E': 0x8e, '16': 0x10 };

const tcpHeaderBytes = 8;
const udpImeiAt = 8;
const udpHeaderBytes = 23;
const imeiBytes = 15;
/** Data that needs no acknowledgement on the channel. */
const udpNoAck = 1;

/** 255 records of under 250 bytes; refilled for every packet, which is returned as a copy. */
const scratch = Buffer.allocUnsafeSlow(65_536);

/** One packet in TCP form: preamble, length, data field, CRC. */
export function encodeTcp(codec: Codec, records: readonly ParcelRecord[]): Buffer {
  return wrapTcp(writeArray(codec, records, tcpHeaderBytes));
}

/** The same form around a data field that is given. */
export function encodeTcpData(data: Buffer): Buffer {
  return wrapTcp(tcpHeaderBytes + data.copy(scratch, tcpHeaderBytes));
}

/** One channel packet as a datagram: IMEI inside, no preamble and no CRC. */
export function encodeUdp(
  codec: Codec,
  imei: string,
  packetId: number,
  records: readonly ParcelRecord[],
): Buffer {
  const end = writeArray(codec, records, udpHeaderBytes);
  scratch.writeUInt16BE(end - 2, 0);
  scratch.writeUInt16BE(packetId & 0xffff, 2);
  scratch[4] = udpNoAck;
  scratch[5] = packetId & 0xff;
  scratch.writeUInt16BE(imeiBytes, 6);
  scratch.write(imei, udpImeiAt, 'latin1');
  return Buffer.from(scratch.subarray(0, end));
}

function wrapTcp(end: number): Buffer {
  scratch.writeUInt32BE(0, 0);
  scratch.writeUInt32BE(end - tcpHeaderBytes, 4);
  scratch.writeUInt32BE(crc16(scratch, tcpHeaderBytes, end), end);
  return Buffer.from(scratch.subarray(0, end + 4));
}

/** Codec id, count, records, count again; returns the offset behind. */
function writeArray(codec: Codec, records: readonly ParcelRecord[], start: number): number {
  scratch[start] = codecIds[codec];
  scratch[start + 1] = records.length;
  let at = start + 2;
  for (const { record, fault } of records) {
    at =
      codec === '7'
        ? writeCodec7Record(scratch, at, record)
        : writeRecord(codec, at, record, fault?.ioTotalError ?? 0);
  }
  scratch[at] = records.length;
  return at + 1;
}

function writeRecord(
  codec: Exclude<Codec, '7'>,
  start: number,
  record: TrackerRecord,
  ioTotalError: number,
): number {
  const { ts } = record;
  scratch.writeUInt32BE(Math.floor(ts / 4_294_967_296), start);
  scratch.writeUInt32BE(ts % 4_294_967_296, start + 4);
  scratch[start + 8] = record.priority;
  scratch.writeInt32BE(Math.round((record.longitude ?? 0) * 1e7), start + 9);
  scratch.writeInt32BE(Math.round((record.latitude ?? 0) * 1e7), start + 13);
  scratch.writeInt16BE(record.altitude ?? 0, start + 17);
  scratch.writeUInt16BE(record.angle ?? 0, start + 19);
  scratch[start + 21] = record.satellites ?? 0;
  scratch.writeUInt16BE(record.speed ?? 0, start + 22);
  let at = writeNumber(start + 24, codec === '8' ? 1 : 2, record.eventIoId ?? 0);
  if (codec === '16') at = writeNumber(at, 1, record.generationType ?? 0);
  return writeIo(codec, at, record.io, ioTotalError);
}

function writeIo(
  codec: Exclude<Codec, '7'>,
  start: number,
  io: IoGroups,
  ioTotalError: number,
): number {
  const idBytes = codec === '8' ? 1 : 2;
  const countBytes = codec === '8E' ? 2 : 1;
  const variable = codec === '8E' ? io.variable : [];
  const fixed =
    (io.one.length + io.two.length + io.four.length) / 2 +
    io.eight.length +
    (io.sixteen?.length ?? 0);
  let at = writeNumber(start, countBytes, fixed + variable.length + ioTotalError);
  at = writeGroup(at, idBytes, countBytes, 1, io.one);
  at = writeGroup(at, idBytes, countBytes, 2, io.two);
  at = writeGroup(at, idBytes, countBytes, 4, io.four);
  at = writeNumber(at, countBytes, io.eight.length);
  for (const [id, value] of io.eight) {
    at = writeNumber(at, idBytes, id);
    at = scratch.writeBigUInt64BE(value, at);
  }
  if (io.sixteen !== null) {
    at = writeNumber(at, countBytes, io.sixteen.length);
    for (const [id, bytes] of io.sixteen) {
      at = writeNumber(at, idBytes, id);
      at += bytes.copy(scratch, at);
    }
  }
  if (codec !== '8E') return at;
  at = writeNumber(at, countBytes, variable.length);
  for (const [id, bytes] of variable) {
    at = writeNumber(at, idBytes, id);
    at = writeNumber(at, 2, bytes.length);
    at += bytes.copy(scratch, at);
  }
  return at;
}

function writeGroup(
  start: number,
  idBytes: 1 | 2,
  countBytes: 1 | 2,
  width: 1 | 2 | 4,
  values: readonly number[],
): number {
  let at = writeNumber(start, countBytes, values.length / 2);
  for (let index = 0; index + 1 < values.length; index += 2) {
    at = writeNumber(at, idBytes, values[index] ?? 0);
    at = writeNumber(at, width, values[index + 1] ?? 0);
  }
  return at;
}

function writeNumber(at: number, width: 1 | 2 | 4, value: number): number {
  if (width === 1) {
    scratch[at] = value;
    return at + 1;
  }
  return width === 2 ? scratch.writeUInt16BE(value, at) : scratch.writeUInt32BE(value, at);
}
