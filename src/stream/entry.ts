import type {
  Codec,
  DecodeReason,
  DeviceId,
  Entry,
  EntryContent,
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
const maxNameBytes = 64;
const knownFields = ['device_id', 'ts', 'codec', 'payload', 'frame', 'frame_hex', 'received_at'];
const payloadCodecs: readonly string[] = ['8', '8E', '16'] satisfies readonly Codec[];

/**
 * Tells which form of the stream contract an entry has, by its field names only.
 * Unknown fields are left alone; a known one twice, or both forms at once, is an error.
 */
export function readEntry(entry: Entry, limits: EntryLimits): EntryReading {
  if (entry.bytes > limits.maxBytes) {
    return rejected('entry_too_large', `${entry.bytes} bytes; at most ${limits.maxBytes}`);
  }
  const collected = collectFields(entry);
  if (collected.kind === 'rejected') return collected;
  const { fields } = collected;
  const deviceText = fields.get('device_id')?.toString('latin1');
  if (deviceText === undefined) return rejected('field_missing', 'device_id is missing');
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
  const forms = ['payload', 'frame', 'frame_hex'].filter((name) => fields.has(name));
  if (forms.length === 0)
    return rejected('form_unknown', 'neither payload nor frame nor frame_hex');
  if (forms.length > 1) return rejected('form_ambiguous', `${forms.join(' and ')} in one entry`);
  return forms[0] === 'payload'
    ? readPayloadForm(deviceText, fields, limits)
    : readFrameForm(deviceText, fields);
}

type Fields = ReadonlyMap<string, Buffer>;

function collectFields(
  entry: Entry,
): { kind: 'fields'; fields: Fields } | { kind: 'rejected'; rejection: Rejection } {
  if (entry.fields.length > maxFields * 2) {
    return rejected('field_count', `${entry.fields.length / 2} fields; at most ${maxFields}`);
  }
  const fields = new Map<string, Buffer>();
  for (let at = 0; at + 1 < entry.fields.length; at += 2) {
    const name = entry.fields[at];
    const value = entry.fields[at + 1];
    if (name === undefined || value === undefined || name.length > maxNameBytes) continue;
    const text = name.toString('latin1');
    if (!knownFields.includes(text)) continue;
    if (fields.has(text)) return rejected('field_repeated', `${text} more than once`);
    fields.set(text, value);
  }
  return { kind: 'fields', fields };
}

function readPayloadForm(deviceId: DeviceId, fields: Fields, limits: EntryLimits): EntryReading {
  const payload = fields.get('payload');
  const time = fields.get('ts');
  const codec = fields.get('codec')?.toString('latin1');
  if (payload === undefined || time === undefined || codec === undefined) {
    return rejected('field_missing', 'form A needs device_id, ts, codec and payload');
  }
  const ts = time.length > 40 ? null : limits.parseTime(time.toString('latin1'));
  if (ts === null) return rejected('field_invalid', 'ts must be ISO 8601 in UTC');
  if (!isPayloadCodec(codec)) return rejected('field_invalid', 'codec must be 8, 8E or 16');
  return { kind: 'content', content: { form: 'payload', deviceId, ts, codec, payload } };
}

function isPayloadCodec(text: string): text is Codec {
  return payloadCodecs.includes(text);
}

function readFrameForm(deviceId: DeviceId, fields: Fields): EntryReading {
  const frame = fields.get('frame') ?? readHex(fields.get('frame_hex'));
  if (frame === null) return rejected('frame_hex_invalid', 'frame_hex must be pairs of hex digits');
  return { kind: 'content', content: { form: 'frame', deviceId, frame } };
}

function readHex(value: Buffer | undefined): Buffer | null {
  const text = value?.toString('latin1') ?? '';
  return /^(?:[0-9a-fA-F]{2})+$/.test(text) ? Buffer.from(text, 'hex') : null;
}

function rejected(
  reason: DecodeReason,
  message: string,
): { kind: 'rejected'; rejection: Rejection } {
  return {
    kind: 'rejected',
    rejection: { stage: 'decode', reason, message, recordIndex: null, offset: null },
  };
}
