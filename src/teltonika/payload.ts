import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import type { ByteRange } from '../core/types.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { parseIsoMs } from './iso-time.ts';
import { payloadAttributesJson } from './payload-attributes.ts';
import { type PayloadRecord, scanPayload } from './payload-scan.ts';

export type { PayloadRecord } from './payload-scan.ts';

/** Maximum size of a payload in bytes; checked before it is parsed. */
export const maxPayloadBytes = 262_144;
/** A valid payload has three levels: the payload, its attributes and a sentinel. */
const maxDepth = 8;

/**
 * Nothing is coerced and unknown keys are refused; `attributes` is walked by hand (measured: 0.6 µs
 * a payload for these fields, 6 µs when zod also checks the attributes as a record of unions).
 */
const fixedFields = z.strictObject({
  device_id: z.string(),
  timestamp: z.string(),
  latitude: z.number(),
  longitude: z.number(),
  altitude: z.number(),
  angle: z.number(),
  speed: z.number(),
  satellites: z.number(),
  priority: z.number(),
  event_io_id: z.number().optional(),
  generation_type: z.number().optional(),
  attributes: z.unknown(),
});

/**
 * Reads a payload, by the scan where it is in the usual form and by the full reading otherwise: `entry_too_large`, `json_invalid` (also for bytes that are not UTF-8),
 * `json_too_deep`, `payload_shape`, `attribute_invalid` or `attribute_count` on failure.
 * @param onFallback called before the full reading
 */
export function decodePayload(
  payload: ByteRange,
  onFallback?: () => void,
): PayloadRecord | DecodeError {
  if (payload.length > maxPayloadBytes) {
    return decodeError(
      'entry_too_large',
      `a payload has at most ${maxPayloadBytes} bytes, this one ${payload.length}`,
      maxPayloadBytes,
    );
  }
  const scanned = scanPayload(payload);
  if (scanned !== null) return scanned;
  onFallback?.();
  return readBoundedPayload(payload.view());
}

/** The full reading, which never parses a payload deeper than a valid one can be. */
function readBoundedPayload(payload: Buffer): PayloadRecord | DecodeError {
  // Before the parse: 120,000 opening brackets cost JSON.parse 70 ms, and this scan stops at the ninth.
  const tooDeepAt = offsetBelowDepth(payload, maxDepth);
  if (tooDeepAt === null) return readPayload(payload);
  return decodeError('json_too_deep', `nested deeper than ${maxDepth} levels`, tooDeepAt);
}

/** The full reading of a payload however it is written; exported for the scan's comparison with it. */
export function readPayload(payload: Buffer): PayloadRecord | DecodeError {
  if (!isUtf8(payload)) return decodeError('json_invalid', 'the payload is not UTF-8', null);
  let json: unknown;
  try {
    json = JSON.parse(payload.toString('utf8'));
  } catch {
    // The engine's message quotes the input, so it is not passed on.
    return decodeError('json_invalid', 'the payload is not JSON', null);
  }
  return readPayloadValue(json);
}

/** The same for a payload that is parsed already; it walks no deeper than the contract goes. */
export function readPayloadValue(json: unknown): PayloadRecord | DecodeError {
  const shape = fixedFields.safeParse(json);
  if (!shape.success) {
    return decodeError('payload_shape', shapeProblem(shape.error), null);
  }
  const fields = shape.data;
  const ts = parseIsoMs(fields.timestamp);
  if (ts === null) {
    return decodeError('payload_shape', 'timestamp: expected ISO 8601 in UTC', null);
  }
  const attributes = payloadAttributesJson(fields.attributes);
  if (typeof attributes !== 'string') return attributes;
  return {
    kind: 'payload',
    deviceId: fields.device_id,
    ts,
    latitude: fields.latitude,
    longitude: fields.longitude,
    altitude: fields.altitude,
    angle: fields.angle,
    speed: fields.speed,
    satellites: fields.satellites,
    priority: fields.priority,
    eventIoId: fields.event_io_id ?? null,
    generationType: fields.generation_type ?? null,
    attributes,
  };
}

/** Names a field of the contract and zod's closed codes; never a key or a value of the input. */
function shapeProblem(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'not the payload of the stream contract';
  if (issue.code === 'unrecognized_keys') return 'a key that the stream contract does not have';
  const field = issue.path.length === 0 ? 'payload' : String(issue.path[0]);
  return issue.code === 'invalid_type'
    ? `${field}: expected ${issue.expected}`
    : `${field}: ${issue.code}`;
}

/** Offset of the first bracket below `limit` levels, or null; strings are stepped over. */
function offsetBelowDepth(json: Buffer, limit: number): number | null {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (inString) {
      if (byte === 0x5c) at += 1;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) {
      inString = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > limit) return at;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1;
    }
  }
  return null;
}
