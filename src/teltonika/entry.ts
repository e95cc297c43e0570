import type {
  Codec,
  DecodeReason,
  DeviceId,
  Entry,
  EntryContent,
  EntryFields,
  Rejection,
} from '../core/types.ts';
import { isDeviceId } from './imei.ts';
import { parseIsoMs } from './iso-time.ts';

export type EntryReading =
  | { readonly kind: 'content'; readonly content: EntryContent }
  | { readonly kind: 'rejected'; readonly rejection: Rejection };

/** Maximum number of fields; the stream contract allows producers to add their own. */
const maxFields = 32;
/** An ISO 8601 time in UTC with nanoseconds has 30 characters. */
const maxTimeLength = 40;
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
const knownNames = knownFields.map((field) => ({ field, name: Buffer.from(field) }));
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
  if ('kind' in indexes) return indexes;
  if (indexes.device_id < 0) return rejected('field_missing', 'device_id is missing');
  const deviceId = fields.text(indexes.device_id);
  if (!isDeviceId(deviceId)) return deviceIdInvalid();
  const contentField = contentFieldOf(indexes);
  switch (contentField) {
    case 'payload':
      return readPayloadEntry(deviceId, fields, indexes);
    case 'frame':
      return readFrameEntry(deviceId, fields.value(indexes.frame));
    case 'frame_hex':
      return readFrameEntry(deviceId, readHex(fields.text(indexes.frame_hex)));
    default:
      return contentField;
  }
}

/** The index of each known field in an entry; -1 for a field that the entry does not have. */
type FieldIndexes = Record<KnownField, number>;

function indexKnownFields(fields: EntryFields): FieldIndexes | EntryRejection {
  if (fields.count > maxFields) {
    return rejected('field_count', `${fields.count} fields; at most ${maxFields}`);
  }
  const indexes: FieldIndexes = {
    device_id: -1,
    ts: -1,
    codec: -1,
    payload: -1,
    frame: -1,
    frame_hex: -1,
    received_at: -1,
  };
  for (let index = 0; index < fields.count; index += 1) {
    const name = knownName(fields, index);
    if (name === null) continue;
    if (indexes[name] !== -1) return rejected('field_repeated', `${name} more than once`);
    indexes[name] = index;
  }
  return indexes;
}

function knownName(fields: EntryFields, index: number): KnownField | null {
  for (const { field, name } of knownNames) {
    if (fields.isNamed(index, name)) return field;
  }
  return null;
}

function contentFieldOf(indexes: FieldIndexes): ContentField | EntryRejection {
  let found: ContentField | null = null;
  for (const field of contentFields) {
    if (indexes[field] < 0) continue;
    if (found !== null) return rejected('form_ambiguous', `${found} and ${field} in one entry`);
    found = field;
  }
  return found ?? rejected('form_unknown', 'neither payload nor frame nor frame_hex');
}

function readPayloadEntry(
  deviceId: DeviceId,
  fields: EntryFields,
  indexes: FieldIndexes,
): EntryReading {
  if (indexes.ts < 0 || indexes.codec < 0) {
    return rejected('field_missing', 'a payload entry needs device_id, ts, codec and payload');
  }
  const time = fields.valueLength(indexes.ts) > maxTimeLength ? '' : fields.text(indexes.ts);
  const ts = parseIsoMs(time);
  if (ts === null) return rejected('field_invalid', 'ts must be ISO 8601 in UTC');
  const codec = payloadCodecOf(fields.text(indexes.codec));
  if (codec === null) return rejected('field_invalid', 'codec must be 8, 8E or 16');
  const payload = fields.value(indexes.payload);
  return { kind: 'content', content: { form: 'payload', deviceId, ts, codec, payload } };
}

/**
 * Returns a constant instead of the entry's own text, which every record would keep in memory
 * until it is stored.
 */
function payloadCodecOf(text: string): Codec | null {
  switch (text) {
    case '8':
      return '8';
    case '8E':
      return '8E';
    case '16':
      return '16';
    default:
      return null;
  }
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
