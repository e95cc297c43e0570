import type {
  Codec,
  DecodeReason,
  DeviceId,
  Entry,
  EntryContent,
  EntryFields,
  Rejection,
} from '../core/types.ts';

export interface EntryLimits {
  readonly maxBytes: number;
  /** Reads `ts`; null when it is none. Injected, because it belongs to the decoder. */
  readonly parseTime: (text: string) => number | null;
  readonly isDeviceId: (text: string) => text is DeviceId;
}

export type EntryReading =
  | { readonly kind: 'content'; readonly content: EntryContent }
  | { readonly kind: 'rejected'; readonly rejection: Rejection };

/** Producers may add fields of their own, but not without end. */
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
const knownNames = knownFields.map((field) => ({ field, name: Buffer.from(field) }));
const formFields = ['payload', 'frame', 'frame_hex'] as const;
type FormField = (typeof formFields)[number];

/**
 * Tells which form of the stream contract an entry has, by its field names only.
 * Unknown fields are left alone; a known one twice, or both forms at once, is an error.
 */
export function readEntry(entry: Entry, limits: EntryLimits): EntryReading {
  if (entry.bytes > limits.maxBytes) {
    return rejected('entry_too_large', `${entry.bytes} bytes; at most ${limits.maxBytes}`);
  }
  const { fields } = entry;
  const places = placesOf(fields);
  if ('kind' in places) return places;
  if (places.device_id < 0) return rejected('field_missing', 'device_id is missing');
  const deviceText = fields.text(places.device_id);
  if (!limits.isDeviceId(deviceText)) {
    const rejection = { stage: 'validate', reason: 'device_id_invalid' } as const;
    return {
      kind: 'rejected',
      rejection: {
        ...rejection,
        message: 'device_id must be 15 digits',
        recordIndex: null,
        offset: null,
      },
    };
  }
  const form = formOf(places);
  switch (form) {
    case 'payload':
      return readPayloadForm(deviceText, fields, places, limits);
    case 'frame':
      return readFrameForm(deviceText, fields.value(places.frame));
    case 'frame_hex':
      return readFrameForm(deviceText, readHex(fields.text(places.frame_hex)));
    default:
      return form;
  }
}

/** Where the known fields of an entry stand; -1 for what it does not have. */
type Places = Record<KnownField, number>;

function placesOf(fields: EntryFields): Places | DecodeRejection {
  if (fields.count > maxFields) {
    return rejected('field_count', `${fields.count} fields; at most ${maxFields}`);
  }
  const places: Places = {
    device_id: -1,
    ts: -1,
    codec: -1,
    payload: -1,
    frame: -1,
    frame_hex: -1,
    received_at: -1,
  };
  for (let at = 0; at < fields.count; at += 1) {
    const name = knownName(fields, at);
    if (name === null) continue;
    if (places[name] !== -1) return rejected('field_repeated', `${name} more than once`);
    places[name] = at;
  }
  return places;
}

function knownName(fields: EntryFields, at: number): KnownField | null {
  for (const { field, name } of knownNames) {
    if (fields.isNamed(at, name)) return field;
  }
  return null;
}

function formOf(places: Places): FormField | DecodeRejection {
  let form: FormField | null = null;
  for (const field of formFields) {
    if (places[field] < 0) continue;
    if (form !== null) return rejected('form_ambiguous', `${form} and ${field} in one entry`);
    form = field;
  }
  return form ?? rejected('form_unknown', 'neither payload nor frame nor frame_hex');
}

function readPayloadForm(
  deviceId: DeviceId,
  fields: EntryFields,
  places: Places,
  limits: EntryLimits,
): EntryReading {
  if (places.ts < 0 || places.codec < 0) {
    return rejected('field_missing', 'form A needs device_id, ts, codec and payload');
  }
  const time = fields.valueLength(places.ts) > 40 ? '' : fields.text(places.ts);
  const ts = limits.parseTime(time);
  if (ts === null) return rejected('field_invalid', 'ts must be ISO 8601 in UTC');
  const codec = payloadCodecOf(fields.text(places.codec));
  if (codec === null) return rejected('field_invalid', 'codec must be 8, 8E or 16');
  const payload = fields.value(places.payload);
  return { kind: 'content', content: { form: 'payload', deviceId, ts, codec, payload } };
}

/** Ours for the entry's: a text of its own for each record would be kept until it is stored. */
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

function readFrameForm(deviceId: DeviceId, frame: Buffer | null): EntryReading {
  if (frame === null) return rejected('frame_hex_invalid', 'frame_hex must be pairs of hex digits');
  return { kind: 'content', content: { form: 'frame', deviceId, frame } };
}

function readHex(text: string): Buffer | null {
  return /^(?:[0-9a-fA-F]{2})+$/.test(text) ? Buffer.from(text, 'hex') : null;
}

interface DecodeRejection {
  readonly kind: 'rejected';
  readonly rejection: Rejection;
}

function rejected(reason: DecodeReason, message: string): DecodeRejection {
  return {
    kind: 'rejected',
    rejection: { stage: 'decode', reason, message, recordIndex: null, offset: null },
  };
}
