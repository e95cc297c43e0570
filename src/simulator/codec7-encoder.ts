import type { Cell, TrackerRecord } from './record.ts';

/** Codec 7 counts seconds from 2007-01-01T00:00:00Z, in 30 bits. */
const epochSeconds = 1_167_609_600;

const gpsFlag = 0x01;
/** The three IO groups, of 1, 2 and 4 bytes. */
const hasIo = 0x0e;
/** Bits of the GPS mask; the last stands for cell, signal strength and operator together. */
const gpsCoordinates = 0x01;
const gpsAltitude = 0x02;
const gpsAngle = 0x04;
const gpsSpeed = 0x08;
const gpsSatellites = 0x10;
const gpsCellParts = 0xe0;

/** Writes one record at `start` and returns the offset behind it. */
export function writeCodec7Record(to: Buffer, start: number, record: TrackerRecord): number {
  const { latitude, longitude, cell, io } = record;
  const seconds = Math.floor(record.ts / 1000) - epochSeconds;
  let at = to.writeUInt32BE(((record.priority << 30) | seconds) >>> 0, start);
  const hasGps = latitude !== null && longitude !== null && cell !== null;
  to[at++] = (hasGps ? gpsFlag : 0) | hasIo;
  if (hasGps) at = writeGps(to, at, record, latitude, longitude, cell);
  at = writeGroup(to, at, 1, io.one);
  at = writeGroup(to, at, 2, io.two);
  return writeGroup(to, at, 4, io.four);
}

/** Writes the parts that the record has; the mask says which. */
function writeGps(
  to: Buffer,
  start: number,
  { altitude, angle, speed, satellites }: TrackerRecord,
  latitude: number,
  longitude: number,
  cell: Cell,
): number {
  to[start] =
    gpsCoordinates |
    gpsCellParts |
    (altitude === null ? 0 : gpsAltitude) |
    (angle === null ? 0 : gpsAngle) |
    (speed === null ? 0 : gpsSpeed) |
    (satellites === null ? 0 : gpsSatellites);
  let at = to.writeFloatBE(latitude, start + 1);
  at = to.writeFloatBE(longitude, at);
  if (altitude !== null) at = to.writeUInt16BE(altitude, at);
  if (angle !== null) to[at++] = (angle * 256) / 360;
  if (speed !== null) to[at++] = speed;
  if (satellites !== null) to[at++] = satellites;
  at = to.writeUInt16BE(cell.lac, at);
  at = to.writeUInt16BE(cell.cid, at);
  to[at++] = cell.rssi;
  return to.writeUInt32BE(cell.operator, at);
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
