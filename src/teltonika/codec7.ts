import type { AvlRecord, Cell } from './avl-record.ts';
import { u8, u16, u32 } from './bytes.ts';
import type { DecodeError } from './decode-error.ts';
import { type Cursor, type IoLayout, truncated, walkIo } from './io.ts';

/** Codec 7 (GH3000, GH4000) counts seconds from 2007-01-01T00:00:00Z. */
const epochSeconds = 1_167_609_600;

const gpsFlag = 0x01;
/** Bits 1 to 3 of the global mask say which of the 1-, 2- and 4-byte groups follow. */
const ioWidths = [1, 2, 4] as const;

const noIo: IoLayout = {
  idBytes: 1,
  countBytes: 1,
  hasTotal: false,
  widths: [],
  hasVariable: false,
};
/** One layout for each of the eight combinations of groups. */
const layouts: readonly IoLayout[] = Array.from({ length: 8 }, (_, groups) => ({
  ...noIo,
  widths: ioWidths.filter((_width, bit) => ((groups >>> bit) & 1) === 1),
}));

const gpsCoordinates = 0x01;
const gpsAltitude = 0x02;
const gpsAngle = 0x04;
const gpsSpeed = 0x08;
const gpsSatellites = 0x10;
const gpsCell = 0x20;
const gpsRssi = 0x40;
const gpsOperator = 0x80;

/** Bytes of the GPS element's parts, by bit of its mask. */
const gpsPartBytes = [8, 2, 1, 1, 1, 4, 1, 4] as const;

interface Gps {
  readonly latitude: number | null;
  readonly longitude: number | null;
  readonly altitude: number | null;
  readonly angle: number | null;
  readonly satellites: number | null;
  readonly speed: number | null;
  readonly cell: Cell | null;
}

const noGps: Gps = {
  latitude: null,
  longitude: null,
  altitude: null,
  angle: null,
  satellites: null,
  speed: null,
  cell: null,
};

/**
 * Reads one codec 7 record and moves the cursor past it. Layout as Traccar's decoder has it; the
 * maker's documents do not print it. Latitude stands before longitude, both as IEEE floats;
 * there is no IO total, no 8-byte group and no event id.
 */
export function decodeCodec7Record(cursor: Cursor, index: number): AvlRecord | DecodeError {
  const { bytes, end } = cursor;
  const start = cursor.at;
  if (start + 5 > end) return truncated('codec 7 time and mask', start, 5, end);
  const head = u32(bytes, start);
  const mask = u8(bytes, start + 4);
  cursor.at = start + 5;

  const gps = (mask & gpsFlag) === 0 ? noGps : readGps(cursor);
  if ('kind' in gps) return gps;

  const layout = layouts[(mask >>> 1) & 7] ?? noIo;
  const ioStart = cursor.at;
  const fault = walkIo(cursor, layout);
  if (fault !== null) return fault;

  return {
    kind: 'record',
    codec: '7',
    index,
    start,
    ts: ((head & 0x3fff_ffff) + epochSeconds) * 1000,
    priority: head >>> 30,
    latitude: gps.latitude,
    longitude: gps.longitude,
    altitude: gps.altitude,
    angle: gps.angle,
    satellites: gps.satellites,
    speed: gps.speed,
    eventIoId: null,
    generationType: null,
    io: { bytes, start: ioStart, end: cursor.at, layout },
    cell: gps.cell,
  };
}

function readGps(cursor: Cursor): Gps | DecodeError {
  const { bytes, end } = cursor;
  if (cursor.at + 1 > end) return truncated('GPS mask', cursor.at, 1, end);
  const mask = u8(bytes, cursor.at);
  let at = cursor.at + 1;
  const size = gpsPartBytes.reduce(
    (sum, width, bit) => sum + (((mask >>> bit) & 1) === 1 ? width : 0),
    0,
  );
  if (at + size > end) return truncated('GPS element', at, size, end);

  /** The offset of a part that the mask announces; null when it is absent. */
  const part = (flag: number, width: number): number | null => {
    if ((mask & flag) === 0) return null;
    at += width;
    return at - width;
  };
  const coordinates = part(gpsCoordinates, 8);
  const altitude = part(gpsAltitude, 2);
  const angle = part(gpsAngle, 1);
  const speed = part(gpsSpeed, 1);
  const satellites = part(gpsSatellites, 1);
  const cell = part(gpsCell, 4);
  const rssi = part(gpsRssi, 1);
  const operator = part(gpsOperator, 4);
  cursor.at = at;

  return {
    latitude: coordinates === null ? null : bytes.readFloatBE(coordinates),
    longitude: coordinates === null ? null : bytes.readFloatBE(coordinates + 4),
    altitude: altitude === null ? null : u16(bytes, altitude),
    angle: angle === null ? null : (u8(bytes, angle) * 360) / 256,
    satellites: satellites === null ? null : u8(bytes, satellites),
    speed: speed === null ? null : u8(bytes, speed),
    cell:
      cell === null && rssi === null && operator === null
        ? null
        : {
            lac: cell === null ? null : u16(bytes, cell),
            cid: cell === null ? null : u16(bytes, cell + 2),
            rssi: rssi === null ? null : u8(bytes, rssi),
            operator: operator === null ? null : u32(bytes, operator),
          },
  };
}
