import type {
  Codec,
  DecodeReason,
  DeviceId,
  Entry,
  EntryContent,
  EntryFields,
  Rejection,
} from '../core/types.ts';
import { deviceIdAt, imeiDigits } from './device-ids.ts';
import { isoMsAt } from './iso-time.ts';

export type EntryReading =
  | { readonly kind: 'content'; readonly content: EntryContent }
  | { readonly kind: 'rejected'; readonly rejection: Rejection };

/** Maximum number of fields; the stream contract allows producers to add their own. */
const maxFields = 32;
const knownFields = [
  'device_id',
  'ts',
  'codec',
  'payload',
  'frame',
  'frame_hex',
  'received_at',
] as const;
type KnownField = (typeof knownFields)[number];
/** The known names of each length, so that a name is compared with one or two of them. */
const namesByLength = Array.from({ length: 12 }, (_, length) =>
  knownFields
    .filter((field) => field.length === length)
    .map((field) => ({ known: knownFields.indexOf(field), name: Buffer.from(field) })),
);
const numberOf: Readonly<Record<KnownField, number>> = {
  device_id: 0,
  ts: 1,
  codec: 2,
  payload: 3,
  frame: 4,
  frame_hex: 5,
  received_at: 6,
};
const payloadCodecs = (['8E', '8', '16'] as const).map((codec) => ({
  codec,
  text: Buffer.from(codec),
}));
const contentFields = ['payload', 'frame', 'frame_hex'] as const;
type ContentField = (typeof contentFields)[number];

/**
 * Reads an entry's fields and decides, from their names only, whether it is a payload entry or a
 * frame entry. Unknown fields are ignored. A known field that occurs twice, or two content fields
 * in one entry, is an error.
 */
export function readEntry(entry: Entry, maxBytes: number): EntryReading {
  if (entry.bytes > maxBytes) {
    return rejected('entry_too_large', `${entry.bytes} bytes; at most ${maxBytes}`);
  }
  const { fields } = entry;
  const indexes = indexKnownFields(fields);
  if (!ArrayBuffer.isView(indexes)) return indexes;
  if (indexAt(indexes, numberOf.device_id) < 0)
    return rejected('field_missing', 'device_id is missing');
  const deviceId = readDeviceId(fields, indexAt(indexes, numberOf.device_id));
  if (deviceId === null) return deviceIdInvalid();
  const contentField = contentFieldOf(indexes);
  switch (contentField) {
    case 'payload':
      return readPayloadEntry(deviceId, fields, indexes);
    case 'frame':
      return readFrameEntry(deviceId, fields.value(indexAt(indexes, numberOf.frame)));
    case 'frame_hex':
      return readFrameEntry(deviceId, readHex(fields.text(indexAt(indexes, numberOf.frame_hex))));
    default:
      return contentField;
  }
}

/** The index of each known field in an entry, by its number in `knownFields`; -1 where it is absent. */
type FieldIndexes = Int32Array;

/** Filled for each entry and read before the next one: an object for each was garbage. */
const scratch: FieldIndexes = new Int32Array(knownFields.length);

function indexKnownFields(fields: EntryFields): FieldIndexes | EntryRejection {
  if (fields.count > maxFields) {
    return rejected('field_count', `${fields.count} fields; at most ${maxFields}`);
  }
  scratch.fill(-1);
  for (let index = 0; index < fields.count; index += 1) {
    const known = knownNumber(fields, index);
    if (known < 0) continue;
    if (scratch[known] !== -1)
      return rejected('field_repeated', `${knownFields[known]} more than once`);
    scratch[known] = index;
  }
  return scratch;
}

function knownNumber(fields: EntryFields, index: number): number {
  for (const { known, name } of namesByLength[fields.nameLength(index)] ?? []) {
    if (fields.isNamed(index, name)) return known;
  }
  return -1;
}

function indexAt(indexes: FieldIndexes, known: number): number {
  return indexes[known] ?? -1;
}

function contentFieldOf(indexes: FieldIndexes): ContentField | EntryRejection {
  let found: ContentField | null = null;
  for (const field of contentFields) {
    if (indexAt(indexes, numberOf[field]) < 0) continue;
    if (found !== null) return rejected('form_ambiguous', `${found} and ${field} in one entry`);
    found = field;
  }
  return found ?? rejected('form_unknown', 'neither payload nor frame nor frame_hex');
}

function readDeviceId(fields: EntryFields, index: number): DeviceId | null {
  if (fields.valueLength(index) !== imeiDigits) return null;
  return deviceIdAt(fields.buffer, fields.valueStart(index));
}

function readPayloadEntry(
  deviceId: DeviceId,
  fields: EntryFields,
  indexes: FieldIndexes,
): EntryReading {
  if (indexAt(indexes, numberOf.ts) < 0 || indexAt(indexes, numberOf.codec) < 0) {
    return rejected('field_missing', 'a payload entry needs device_id, ts, codec and payload');
  }
  const timeStart = fields.valueStart(indexAt(indexes, numberOf.ts));
  const ts = isoMsAt(
    fields.buffer,
    timeStart,
    timeStart + fields.valueLength(indexAt(indexes, numberOf.ts)),
  );
  if (ts === null) return rejected('field_invalid', 'ts must be ISO 8601 in UTC');
  const codec = payloadCodecOf(fields, indexAt(indexes, numberOf.codec));
  if (codec === null) return rejected('field_invalid', 'codec must be 8, 8E or 16');
  const payload = fields.valueRange(indexAt(indexes, numberOf.payload));
  return { kind: 'content', content: { form: 'payload', deviceId, ts, codec, payload } };
}

/** A constant, not the entry's own text, which every record would keep in memory until it is stored. */
function payloadCodecOf(fields: EntryFields, index: number): Codec | null {
  for (const { codec, text } of payloadCodecs) {
    if (fields.hasValue(index, text)) return codec;
  }
  return null;
}

function readFrameEntry(deviceId: DeviceId, frame: Buffer | null): EntryReading {
  if (frame === null) return rejected('frame_hex_invalid', 'frame_hex must be pairs of hex digits');
  return { kind: 'content', content: { form: 'frame', deviceId, frame } };
}

function readHex(text: string): Buffer | null {
  return /^(?:[0-9a-fA-F]{2})+$/.test(text) ? Buffer.from(text, 'hex') : null;
}

interface EntryRejection {
  readonly kind: 'rejected';
  readonly rejection: Rejection;
}

function rejected(reason: DecodeReason, message: string): EntryRejection {
  return {
    kind: 'rejected',
    rejection: { stage: 'decode', reason, message, recordIndex: null, offset: null },
  };
}

function deviceIdInvalid(): EntryRejection {
  return {
    kind: 'rejected',
    rejection: {
      stage: 'validate',
      reason: 'device_id_invalid',
      message: 'device_id must be 15 digits',
      recordIndex: null,
      offset: null,
    },
  };
}
