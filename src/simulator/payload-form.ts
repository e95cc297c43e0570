import type { Codec, DeviceId } from '../core/types.ts';
import type { IoGroups, TrackerRecord } from './record.ts';

type JsonValue = number | { readonly __bigint: string } | { readonly __buffer_b64: string };

/** The `payload` of a payload entry as the TCP ingestion service writes it, still as an object. */
export interface Payload {
  readonly device_id: string;
  readonly timestamp: string;
  readonly latitude: number | null;
  readonly longitude: number | null;
  readonly altitude: number | null;
  readonly angle: number | null;
  readonly speed: number | null;
  readonly satellites: number | null;
  readonly priority: number;
  readonly event_io_id?: number;
  readonly generation_type?: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** The fields of a payload entry around its payload: device_id, ts, codec, payload. */
export function payloadFields(
  deviceId: DeviceId,
  ts: number,
  codec: Codec,
  payload: string,
): string[] {
  return [
    'device_id',
    deviceId,
    'ts',
    new Date(ts).toISOString(),
    'codec',
    codec,
    'payload',
    payload,
  ];
}

export function payloadOf(deviceId: DeviceId, record: TrackerRecord): Payload {
  const { eventIoId, generationType } = record;
  return {
    device_id: deviceId,
    timestamp: new Date(record.ts).toISOString(),
    latitude: record.latitude,
    longitude: record.longitude,
    altitude: record.altitude,
    angle: record.angle,
    speed: record.speed,
    satellites: record.satellites,
    priority: record.priority,
    ...(eventIoId === null ? {} : { event_io_id: eventIoId }),
    ...(generationType === null ? {} : { generation_type: generationType }),
    attributes: attributesOf(record.io),
  };
}

function attributesOf(io: IoGroups): Record<string, JsonValue> {
  const attributes: Record<string, JsonValue> = {};
  for (const group of [io.one, io.two, io.four]) {
    for (let at = 0; at + 1 < group.length; at += 2) {
      attributes[String(group[at])] = group[at + 1] ?? 0;
    }
  }
  for (const [id, value] of io.eight) {
    attributes[String(id)] =
      value <= Number.MAX_SAFE_INTEGER ? Number(value) : { __bigint: value.toString() };
  }
  for (const [id, bytes] of [...(io.sixteen ?? []), ...io.variable]) {
    attributes[String(id)] = { __buffer_b64: bytes.toString('base64') };
  }
  return attributes;
}
