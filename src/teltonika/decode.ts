import type { Codec, MessageCodec } from '../core/types.ts';
import {
  type AvlRecord,
  decodeAvlRecord,
  isRecoverable,
  type RecordFault,
  recordFormat,
} from './avl-record.ts';
import { u8 } from './bytes.ts';
import { decodeCodec7Record } from './codec7.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { type Frame, openFrame, type Transport } from './frame.ts';
import { type Cursor, truncated } from './io.ts';
import type { MessageBody } from './message.ts';

export interface DecodeOptions {
  /** Accepts a TCP frame with a wrong CRC; the four bytes must still be there. */
  readonly skipCrc: boolean;
  /** The layout to use where both add up: with a group of 16-byte values, or without. */
  readonly io16: boolean;
  /** Maximum number of records in a packet; the wire's count is one byte, so 255 allows all. */
  readonly maxRecords: number;
}

/** A packet with positions; `faults` are its bad records. */
export interface AvlPacket {
  readonly kind: 'records';
  readonly codec: Codec;
  readonly transport: Transport;
  /** The IMEI of a UDP datagram; null in the other forms. */
  readonly imei: string | null;
  readonly records: readonly AvlRecord[];
  readonly faults: readonly RecordFault[];
}

/** A packet of codec 12 to 15; `parseMessage` reads its body. */
export interface MessagePacket {
  readonly kind: 'message';
  readonly codec: MessageCodec;
  readonly transport: Transport;
  readonly imei: string | null;
  readonly body: MessageBody;
}

/** Codec id, first count, second count: the minimum of a data field with records. */
const countedBytes = 3;

/** Decodes one whole packet; the result holds slices of `bytes`, which must not change. */
export function decodeFrame(
  bytes: Buffer,
  options: DecodeOptions,
): AvlPacket | MessagePacket | DecodeError {
  const frame = openFrame(bytes, options.skipCrc);
  if (frame.kind === 'error') return frame;
  const codecId = u8(bytes, frame.start);
  const codec = codecOf(codecId);
  if (codec !== null) return decodeRecords(bytes, frame, codec, options);
  const messageCodec = messageCodecOf(codecId);
  if (messageCodec !== null) return messagePacket(bytes, frame, messageCodec);
  return decodeError(
    'codec_unknown',
    `codec id ${codecId} is none of 7, 8, 142 (8E), 16 and 12 to 15`,
    frame.start,
  );
}

function codecOf(id: number): Codec | null {
  switch (id) {
    case 0x8e:
      return '8E';
    case 0x08:
      return '8';
    case 0x10:
      return '16';
    case 0x07:
      return '7';
    default:
      return null;
  }
}

function messageCodecOf(id: number): MessageCodec | null {
  switch (id) {
    case 0x0c:
      return '12';
    case 0x0d:
      return '13';
    case 0x0e:
      return '14';
    case 0x0f:
      return '15';
    default:
      return null;
  }
}

function decodeRecords(
  bytes: Buffer,
  frame: Frame,
  codec: Codec,
  options: DecodeOptions,
): AvlPacket | DecodeError {
  const { start, end } = frame;
  if (end - start < countedBytes) return tooShort(frame);
  const count = u8(bytes, start + 1);
  if (count > options.maxRecords) {
    return decodeError(
      'record_count_exceeded',
      `${count} records, at most ${options.maxRecords} are taken`,
      start + 1,
    );
  }
  // An array has no length of its own, so its last byte is the second count only if it ends there.
  if (frame.transport !== 'array' && u8(bytes, end - 1) !== count) {
    return countMismatch(count, u8(bytes, end - 1), end - 1);
  }

  return codec === '7'
    ? walkRecords(bytes, frame, codec, count, decodeCodec7Record)
    : decodeEitherLayout(bytes, frame, codec, count, options.io16);
}

/**
 * Codecs 8, 8E and 16 have two IO layouts: some devices add a group of 16-byte values, and nothing
 * on the wire announces it. The lengths and both counts of a packet decide: the layout that adds up
 * is used. If neither does, the errors are those of the preferred layout.
 */
function decodeEitherLayout(
  bytes: Buffer,
  frame: Frame,
  codec: Exclude<Codec, '7'>,
  count: number,
  prefersIo16: boolean,
): AvlPacket | DecodeError {
  const walk = (io16: boolean) => {
    const format = recordFormat(codec, io16);
    return walkRecords(bytes, frame, codec, count, (cursor, index) =>
      decodeAvlRecord(cursor, format, index),
    );
  };
  const preferred = walk(prefersIo16);
  const fit = fitOf(preferred);
  if (fit === fits.whole) return preferred;
  const other = walk(!prefersIo16);
  return fitOf(other) > fit ? other : preferred;
}

/**
 * How well a layout fits, the better the larger. Misread: the records do not fill the frame. Filled:
 * they do, and some are bad by themselves. Doubtful: everything adds up, but a record has a time at
 * which no tracker can have made it, as bytes that are read in the wrong layout have.
 */
const fits = { misread: 0, filled: 1, doubtful: 2, whole: 3 } as const;

/** 2000-01-01 to 2100-01-01: wide, because the clocks of trackers are wrong too. */
const believableMs = { from: 946_684_800_000, to: 4_102_444_800_000 } as const;

function fitOf(packet: AvlPacket | DecodeError): number {
  if (packet.kind === 'error') return fits.misread;
  if (packet.faults.length > 0) return fits.filled;
  const isBelievable = packet.records.every(
    ({ ts }) => ts >= believableMs.from && ts < believableMs.to,
  );
  return isBelievable ? fits.whole : fits.doubtful;
}

type ReadRecord = (cursor: Cursor, index: number) => AvlRecord | DecodeError;

/** Reads `count` records, which must fill the frame exactly. */
function walkRecords(
  bytes: Buffer,
  frame: Frame,
  codec: Codec,
  count: number,
  readRecord: ReadRecord,
): AvlPacket | DecodeError {
  const cursor: Cursor = { bytes, at: frame.start + 2, end: frame.end - 1 };
  const records: AvlRecord[] = [];
  const faults: RecordFault[] = [];
  for (let index = 0; index < count; index += 1) {
    const record = readRecord(cursor, index);
    if (record.kind === 'record') records.push(record);
    else if (isRecoverable(record)) faults.push({ index, error: record });
    else return faults[0]?.error ?? record;
  }
  // Records that do not fill their field were misread, most likely at the first doubtful record.
  if (cursor.at !== cursor.end) return faults[0]?.error ?? unfilled(frame, cursor.at);
  if (u8(bytes, cursor.at) !== count) {
    return countMismatch(count, u8(bytes, cursor.at), cursor.at);
  }
  const { transport, imei } = frame;
  return { kind: 'records', codec, transport, imei, records, faults };
}

function messagePacket(bytes: Buffer, frame: Frame, codec: MessageCodec): MessagePacket {
  const { transport, imei, start, end } = frame;
  const bodyStart = Math.min(start + 2, end);
  const body: MessageBody = {
    codec,
    bytes,
    count: start + 1 < end ? u8(bytes, start + 1) : 0,
    start: bodyStart,
    end: Math.max(bodyStart, end - 1),
  };
  return { kind: 'message', codec, transport, imei, body };
}

function tooShort({ transport, start, end }: Frame): DecodeError {
  if (transport === 'array')
    return truncated('record counts', end, start + countedBytes - end, end);
  return decodeError(
    'length_mismatch',
    `a data field has at least ${countedBytes} bytes, this one ${end - start}`,
    start,
  );
}

function unfilled({ transport, end }: Frame, at: number): DecodeError {
  if (transport === 'array') {
    return decodeError(
      'trailing_bytes',
      `the records end at ${at}, then one count byte was expected, the array ends at ${end}`,
      at + 1,
    );
  }
  return decodeError(
    'length_mismatch',
    `the records end at ${at}, the data field's second count is at ${end - 1}`,
    at,
  );
}

function countMismatch(first: number, second: number, at: number): DecodeError {
  return decodeError(
    'count_mismatch',
    `the first record count says ${first}, the second ${second}`,
    at,
  );
}
