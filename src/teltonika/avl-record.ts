import type { Codec } from '../core/types.ts';
import { i16, i32, u8, u16, u64Exact, u64Rounded } from './bytes.ts';
import type { DecodeError } from './decode-error.ts';
import { type Cursor, type IoLayout, type IoSection, truncated, walkIo } from './io.ts';

/** Cell data of a codec 7 record; a part the device left out is null. */
export interface Cell {
  readonly lac: number | null;
  readonly cid: number | null;
  readonly rssi: number | null;
  readonly operator: number | null;
}

/** One decoded AVL record; its values are not range-checked yet. */
export interface AvlRecord {
  readonly kind: 'record';
  readonly codec: Codec;
  /** The record's index in its packet, from 0. */
  readonly index: number;
  /** Byte offset of the record in the packet. */
  readonly start: number;
  /** Epoch milliseconds; rounded beyond 2^53, see `exactTimestamp`. */
  readonly ts: number;
  readonly priority: number;
  /** Degrees; null when the record carries no position (codec 7). */
  readonly latitude: number | null;
  readonly longitude: number | null;
  /** Metres; this and the next three are null when a codec 7 record does not carry the part. */
  readonly altitude: number | null;
  /** Degrees clockwise from north. */
  readonly angle: number | null;
  readonly satellites: number | null;
  /** km/h. */
  readonly speed: number | null;
  readonly eventIoId: number | null;
  readonly generationType: number | null;
  readonly io: IoSection;
  readonly cell: Cell | null;
}

/** What differs between codecs 8, 8E and 16. */
export interface RecordFormat {
  readonly codec: Codec;
  readonly eventIdBytes: 1 | 2;
  readonly hasGenerationType: boolean;
  readonly io: IoLayout;
}

/** Timestamp 8, priority 1, longitude 4, latitude 4, altitude 2, angle 2, satellites 1, speed 2. */
const headerSize = 24;
const degreesScale = 1e7;

const fixedWidths = [1, 2, 4, 8] as const;

/** Codecs whose records have the 24-byte header; codec 7 has its own decoder. */
type AvlCodec = Exclude<Codec, '7'>;

const formats: Readonly<Record<AvlCodec, RecordFormat>> = {
  '8': {
    codec: '8',
    eventIdBytes: 1,
    hasGenerationType: false,
    io: { idBytes: 1, countBytes: 1, hasTotal: true, widths: fixedWidths, hasVariable: false },
  },
  '8E': {
    codec: '8E',
    eventIdBytes: 2,
    hasGenerationType: false,
    io: { idBytes: 2, countBytes: 2, hasTotal: true, widths: fixedWidths, hasVariable: true },
  },
  '16': {
    codec: '16',
    eventIdBytes: 2,
    hasGenerationType: true,
    io: { idBytes: 2, countBytes: 1, hasTotal: true, widths: fixedWidths, hasVariable: false },
  },
};

/** Some FM devices add a group of 16-byte values after the 8-byte ones (Traccar's vectors). */
const formatsWithIo16: Readonly<Record<AvlCodec, RecordFormat>> = {
  '8': withIo16(formats['8']),
  '8E': withIo16(formats['8E']),
  '16': withIo16(formats['16']),
};

function withIo16(format: RecordFormat): RecordFormat {
  return { ...format, io: { ...format.io, widths: [...fixedWidths, 16] } };
}

/** The format of a codec, with or without the group of 16-byte values. */
export function recordFormat(codec: AvlCodec, io16: boolean): RecordFormat {
  return (io16 ? formatsWithIo16 : formats)[codec];
}

/**
 * Reads one record of codec 8, 8E or 16 and moves the cursor past it.
 *
 * After `truncated` no further record can be read; any other error concerns only this record, and the
 * cursor is behind it. Priority, event id and generation type are not checked: devices send values
 * that the documents do not list.
 */
export function decodeAvlRecord(
  cursor: Cursor,
  format: RecordFormat,
  index: number,
): AvlRecord | DecodeError {
  const { bytes, end } = cursor;
  const start = cursor.at;
  const headerBytes = headerSize + format.eventIdBytes + (format.hasGenerationType ? 1 : 0);
  if (start + headerBytes > end) return truncated('AVL record', start, headerBytes, end);

  const eventAt = start + headerSize;
  const ioStart = start + headerBytes;
  cursor.at = ioStart;
  const fault = walkIo(cursor, format.io);
  if (fault !== null) return fault;

  return {
    kind: 'record',
    codec: format.codec,
    index,
    start,
    ts: u64Rounded(bytes, start),
    priority: u8(bytes, start + 8),
    latitude: i32(bytes, start + 13) / degreesScale,
    longitude: i32(bytes, start + 9) / degreesScale,
    altitude: i16(bytes, start + 17),
    angle: u16(bytes, start + 19),
    satellites: u8(bytes, start + 21),
    speed: u16(bytes, start + 22),
    eventIoId: format.eventIdBytes === 1 ? u8(bytes, eventAt) : u16(bytes, eventAt),
    generationType: format.hasGenerationType ? u8(bytes, ioStart - 1) : null,
    io: { bytes, start: ioStart, end: cursor.at, layout: format.io },
    cell: null,
  };
}

/** The record's time in milliseconds, exact over all 64 bits. */
export function exactTimestamp(record: AvlRecord): bigint {
  return record.codec === '7' ? BigInt(record.ts) : u64Exact(record.io.bytes, record.start);
}

/** An error that concerns a single record; the records around it are good. */
export interface RecordFault {
  readonly index: number;
  readonly error: DecodeError;
}

/** Whether the records after this error can still be read. */
export function isRecoverable(error: DecodeError): boolean {
  return error.code !== 'truncated';
}
