import type {
  ByteRange,
  Codec,
  DeviceId,
  Entry,
  EntryContent,
  Interpretation,
  MessageCodec,
  Position,
  Rejection,
} from '../core/types.ts';
import { attributesJson } from './attributes.ts';
import { type AvlPacket, decodeFrame } from './decode.ts';
import type { DecodeError } from './decode-error.ts';
import { readEntry } from './entry.ts';
import { udpImeiAt } from './frame.ts';
import { passesLuhn } from './imei.ts';
import { decodePayload, type PayloadRecord } from './payload.ts';
import {
  hasFix,
  type RecordFields,
  rangeProblem,
  type TimeWindow,
  validateRejection,
} from './validate.ts';

export interface InterpretOptions extends TimeWindow {
  /** Maximum number of records in one packet. */
  readonly maxRecords: number;
  /** Devices here send a group of 16-byte IO values after the 8-byte ones. */
  readonly io16: boolean;
}

export interface InterpreterOptions extends Omit<InterpretOptions, 'nowMs'> {
  /** Maximum size of an entry: the lengths of all its field names and values. */
  readonly maxEntryBytes: number;
}

/** Listeners that count. */
export interface InterpreterEvents {
  /** Called for a device id whose last digit is not its Luhn check digit; the entry is accepted. */
  readonly onLuhnFailure: () => void;
  /** Called for each entry that holds a message codec. */
  readonly onMessage: (codec: MessageCodec) => void;
  /** Called for each payload that the scan leaves to the full reading, which takes several times as long. */
  readonly onScanFallback: () => void;
}

/** Turns a stream entry's fields into positions, a message or a rejection. Never throws. */
export type Interpret = (entry: Entry) => Interpretation;

const noEvents: InterpreterEvents = {
  onLuhnFailure() {},
  onMessage() {},
  onScanFallback() {},
};

/**
 * Builds the function that reads, decodes and validates a stream entry.
 * @param now epoch milliseconds, for the time window
 * @param events none for commands that only inspect entries
 */
export function createInterpret(
  { maxEntryBytes, ...limits }: InterpreterOptions,
  now: () => number,
  events: InterpreterEvents = noEvents,
): Interpret {
  // One object for all entries, its time set before each use: a copy per entry would be garbage.
  const options = { ...limits, nowMs: 0 };
  return (entry) => {
    const reading = readEntry(entry, maxEntryBytes);
    if (reading.kind === 'rejected') return reading;
    if (!passesLuhn(reading.content.deviceId)) events.onLuhnFailure();
    options.nowMs = now();
    const found = interpretContent(reading.content, options, events.onScanFallback);
    if (found.kind === 'message') events.onMessage(found.codec);
    return found;
  };
}

/** The rejections of an entry that has none; shared by all of them. */
const noRejections: readonly Rejection[] = [];

type PayloadContent = Extract<EntryContent, { form: 'payload' }>;
type FrameContent = Extract<EntryContent, { form: 'frame' }>;

/**
 * Turns an entry's content into positions and the rejections of single records, a message, or the
 * rejection of the whole entry. Never throws.
 */
export function interpretContent(
  content: EntryContent,
  options: InterpretOptions,
  onScanFallback?: () => void,
): Interpretation {
  return content.form === 'payload'
    ? interpretPayload(content, options, onScanFallback)
    : interpretFrame(content, options);
}

function interpretPayload(
  content: PayloadContent,
  options: InterpretOptions,
  onScanFallback?: () => void,
): Interpretation {
  const record = decodePayload(content.payload, onScanFallback);
  if (record.kind === 'error') return rejected(decodeRejection(record, null));
  const mismatch = mismatchWith(content, record);
  if (mismatch !== null) return rejected(mismatch);
  const position = toPosition(content.deviceId, content.codec, record, 0, record.attributes);
  const problem = rangeProblem(position, options);
  if (problem !== null) return rejected(validateRejection(problem, null, null));
  return { kind: 'records', positions: [position], rejections: noRejections };
}

function mismatchWith(content: PayloadContent, record: PayloadRecord): Rejection | null {
  if (record.deviceId !== content.deviceId) return deviceMismatch(null);
  if (record.ts === content.ts) return null;
  return validateRejection(
    { reason: 'ts_mismatch', message: "the payload's timestamp is not the entry's ts" },
    null,
    null,
  );
}

function interpretFrame(content: FrameContent, options: InterpretOptions): Interpretation {
  const { maxRecords, io16 } = options;
  const packet = decodeFrame(content.frame, { skipCrc: false, maxRecords, io16 });
  if (packet.kind === 'error') return rejected(decodeRejection(packet, null));
  if (packet.imei !== null && packet.imei !== content.deviceId) {
    return rejected(deviceMismatch(udpImeiAt));
  }
  if (packet.kind === 'message') return { kind: 'message', codec: packet.codec };
  return interpretRecords(content.deviceId, packet, options);
}

function interpretRecords(
  deviceId: DeviceId,
  packet: AvlPacket,
  window: TimeWindow,
): Interpretation {
  const positions: Position[] = [];
  const rejections = packet.faults.map(({ index, error }) => decodeRejection(error, index));
  for (const record of packet.records) {
    const { codec, index } = record;
    const problem = rangeProblem(record, window);
    if (problem !== null) rejections.push(validateRejection(problem, index, record.start));
    else positions.push(toPosition(deviceId, codec, record, index, attributesJson(record)));
  }
  return { kind: 'records', positions, rejections };
}

/** Maps a record, of either kind of entry, to the row that the writer stores. */
function toPosition(
  deviceId: DeviceId,
  codec: Codec,
  record: Omit<RecordFields, 'codec'>,
  recordIndex: number,
  attributes: string | ByteRange,
): Position {
  const latitude = withoutMinusZero(record.latitude);
  const longitude = withoutMinusZero(record.longitude);
  return {
    deviceId,
    ts: record.ts,
    latitude,
    longitude,
    altitude: record.altitude,
    angle: record.angle,
    speed: record.speed,
    satellites: record.satellites,
    priority: record.priority,
    fix: hasFix(latitude, longitude, record.satellites),
    eventIoId: record.eventIoId,
    generationType: record.generationType,
    codec,
    attributes,
    recordIndex,
  };
}

/** JSON can write -0 and the wire cannot; adding 0 gives both kinds of entries the same row. */
function withoutMinusZero(degrees: number | null): number | null {
  return degrees === null ? null : degrees + 0;
}

function decodeRejection(error: DecodeError, recordIndex: number | null): Rejection {
  const { code, message, offset } = error;
  return { stage: 'decode', reason: code, message, recordIndex, offset };
}

function deviceMismatch(offset: number | null): Rejection {
  return validateRejection(
    { reason: 'device_id_mismatch', message: "the IMEI inside is not the entry's device_id" },
    null,
    offset,
  );
}

function rejected(rejection: Rejection): Interpretation {
  return { kind: 'rejected', rejection };
}
