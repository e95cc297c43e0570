import type { DeviceId, EntryContent, Interpretation, Position, Rejection } from '../core/types.ts';
import { attributesJson } from './attributes.ts';
import type { AvlRecord } from './avl-record.ts';
import { type AvlPacket, decodeFrame } from './decode.ts';
import type { DecodeError } from './decode-error.ts';
import { UDP_IMEI_AT } from './frame.ts';
import { decodePayload, type PayloadRecord } from './payload.ts';
import { hasFix, rangeProblem, type TimeWindow, validateRejection } from './validate.ts';

export interface InterpretOptions extends TimeWindow {
  /** Most records one packet may hold. */
  readonly maxRecords: number;
  /** Devices here send a group of 16-byte IO values after the 8-byte ones. */
  readonly io16: boolean;
}

/** Of a record at a time nothing is rejected; one list for all of them. */
const none: readonly Rejection[] = [];

type PayloadContent = Extract<EntryContent, { form: 'payload' }>;
type FrameContent = Extract<EntryContent, { form: 'frame' }>;

/**
 * What one entry's content means: positions and the rejections of single records, a message, or
 * the rejection of the whole. Never throws.
 */
export function interpretContent(content: EntryContent, options: InterpretOptions): Interpretation {
  return content.form === 'payload'
    ? interpretPayload(content, options)
    : interpretFrame(content, options);
}

function interpretPayload(content: PayloadContent, options: InterpretOptions): Interpretation {
  const record = decodePayload(content.payload);
  if (record.kind === 'error') return rejected(decodeRejection(record, null));
  const disagreement = disagreementWith(content, record);
  if (disagreement !== null) return rejected(disagreement);
  const position = payloadPosition(content, record);
  const problem = rangeProblem(position, options);
  if (problem !== null) return rejected(validateRejection(problem, null, null));
  return { kind: 'records', positions: [position], rejections: none };
}

function disagreementWith(content: PayloadContent, record: PayloadRecord): Rejection | null {
  if (record.deviceId !== content.deviceId) return deviceMismatch(null);
  if (record.ts === content.ts) return null;
  return validateRejection(
    { reason: 'ts_mismatch', message: "the payload's timestamp is not the entry's ts" },
    null,
    null,
  );
}

function payloadPosition(content: PayloadContent, record: PayloadRecord): Position {
  // JSON can write -0, the wire cannot: adding 0 makes the two forms equal.
  const latitude = record.latitude + 0;
  const longitude = record.longitude + 0;
  return {
    deviceId: content.deviceId,
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
    codec: content.codec,
    attributes: record.attributes,
    recordIndex: 0,
  };
}

function interpretFrame(content: FrameContent, options: InterpretOptions): Interpretation {
  const { maxRecords, io16 } = options;
  const packet = decodeFrame(content.frame, { skipCrc: false, maxRecords, io16 });
  if (packet.kind === 'error') return rejected(decodeRejection(packet, null));
  if (packet.imei !== null && packet.imei !== content.deviceId) {
    return rejected(deviceMismatch(UDP_IMEI_AT));
  }
  if (packet.kind === 'message') return { kind: 'message', codec: packet.codec };
  return packetRecords(content.deviceId, packet, options);
}

function packetRecords(deviceId: DeviceId, packet: AvlPacket, window: TimeWindow): Interpretation {
  const positions: Position[] = [];
  const rejections = packet.faults.map(({ index, error }) => decodeRejection(error, index));
  for (const record of packet.records) {
    const problem = rangeProblem(record, window);
    if (problem === null) positions.push(recordPosition(deviceId, record));
    else rejections.push(validateRejection(problem, record.index, record.start));
  }
  return { kind: 'records', positions, rejections };
}

function recordPosition(deviceId: DeviceId, record: AvlRecord): Position {
  return {
    deviceId,
    ts: record.ts,
    latitude: record.latitude,
    longitude: record.longitude,
    altitude: record.altitude,
    angle: record.angle,
    speed: record.speed,
    satellites: record.satellites,
    priority: record.priority,
    fix: hasFix(record.latitude, record.longitude, record.satellites),
    eventIoId: record.eventIoId,
    generationType: record.generationType,
    codec: record.codec,
    attributes: attributesJson(record),
    recordIndex: record.index,
  };
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
