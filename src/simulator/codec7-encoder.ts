import type { TrackerRecord } from './record.ts';

/** Codec 7 counts seconds from 2007-01-01T00:00:00Z, in 30 bits. */
const EPOCH_SECONDS = 1_167_609_600;

const HAS_GPS = 0x01;
/** The three IO groups, of 1, 2 and 4 bytes. */
const HAS_IO = 0x0e;
/** Coordinates, altitude, angle, speed, satellites, cell, signal strength, operator. */
const WHOLE_GPS = 0xff;

/** Writes one record at `start` and returns the offset behind it. */
export function writeCodec7Record(to: Buffer, start: number, record: TrackerRecord): number {
  const { latitude, longitude, cell, io } = record;
  const seconds = Math.floor(record.ts / 1000) - EPOCH_SECONDS;
  let at = to.writeUInt32BE(((record.priority << 30) | seconds) >>> 0, start);
  const hasGps = latitude !== null && longitude !== null && cell !== null;
  to[at++] = (hasGps ? HAS_GPS : 0) | HAS_IO;
  if (hasGps) {
    to[at++] = WHOLE_GPS;
    at = to.writeFloatBE(latitude, at);
    at = to.writeFloatBE(longitude, at);
    at = to.writeUInt16BE(record.altitude, at);
    to[at++] = (record.angle * 256) / 360;
    to[at++] = record.speed;
    to[at++] = record.satellites;
    at = to.writeUInt16BE(cell.lac, at);
    at = to.writeUInt16BE(cell.cid, at);
    to[at++] = cell.rssi;
    at = to.writeUInt32BE(cell.operator, at);
  }
  at = writeGroup(to, at, 1, io.one);
  at = writeGroup(to, at, 2, io.two);
  return writeGroup(to, at, 4, io.four);
}

function writeGroup(to: Buffer, start: number, width: number, values: readonly number[]): number {
  to[start] = values.length / 2;
  let at = start + 1;
  for (let index = 0; index + 1 < values.length; index += 2) {
    to[at] = values[index] ?? 0;
    at = to.writeUIntBE(values[index + 1] ?? 0, at + 1, width);
  }
  return at;
}
