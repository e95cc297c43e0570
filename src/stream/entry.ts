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
  ...(['device_id', 'ts', 'codec', 'payload', 'frame', 'frame_hex', 'received_at'] as const),
];
type KnownField = (typeof knownFields)[number];
const formFields = ['payload', 'frame', 'frame_hex'] as const;
const payloadCodecs: readonly string[] = ['8', '8E', '16'] satisfies readonly Codec[];

/**
 * Tells which form of the stream contract an entry has, by its field names only.
 * Unknown fields are left alone; a known one twice, or both forms at once, is an error.
 */
export function readEntry(entry: Entry, limits: EntryLimits): EntryReading {
  if (entry.bytes > limits.maxBytes) {
    return rejected('entry_too_large', `${entry.bytes} bytes; at most ${limits.maxBytes}`);
  }
  const known = findKnown(entry.fields);
  if ('kind' in known) return known;
  const deviceText = known.text('device_id');
  if (deviceText === null) return rejected('field_missing', 'device_id is missing');
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
  const forms = formFields.filter((name) => known.has(name));
  if (forms.length === 0)
    return rejected('form_unknown', 'neither payload nor frame nor frame_hex');
  if (forms.length > 1) return rejected('form_ambiguous', `${forms.join(' and ')} in one entry`);
  return known.has('payload')
    ? readPayloadForm(deviceText, known, limits)
    : readFrameForm(deviceText, known);
}

/** Where the known fields of an entry stand. */
class KnownFields {
  readonly #fields: EntryFields;
  readonly #places: readonly number[];

  constructor(fields: EntryFields, places: readonly number[]) {
    this.#fields = fields;
    this.#places = places;
  }

  has(name: KnownField): boolean {
    return this.#placeOf(name) >= 0;
  }

  text(name: KnownField): string | null {
    const at = this.#placeOf(name);
    return at < 0 ? null : this.#fields.text(at);
  }

  value(name: KnownField): Buffer | null {
    const at = this.#placeOf(name);
    return at < 0 ? null : this.#fields.value(at);
  }

  #placeOf(name: KnownField): number {
    return this.#places[knownFields.indexOf(name)] ?? -1;
  }
}

function findKnown(fields: EntryFields): KnownFields | { kind: 'rejected'; rejection: Rejection } {
  if (fields.count > maxFields) {
    return rejected('field_count', `${fields.count} fields; at most ${maxFields}`);
  }
  const places = knownFields.map(() => -1);
  for (let at = 0; at < fields.count; at += 1) {
    const known = knownFields.findIndex((name) => fields.isNamed(at, name));
    const name = knownFields[known];
    if (name === undefined) continue;
    if (places[known] !== -1) return rejected('field_repeated', `${name} more than once`);
    places[known] = at;
  }
  return new KnownFields(fields, places);
}

function readPayloadForm(
  deviceId: DeviceId,
  known: KnownFields,
  limits: EntryLimits,
): EntryReading {
  const payload = known.value('payload');
  const time = known.text('ts');
  const codec = known.text('codec');
  if (payload === null || time === null || codec === null) {
    return rejected('field_missing', 'form A needs device_id, ts, codec and payload');
  }
  const ts = time.length > 40 ? null : limits.parseTime(time);
  if (ts === null) return rejected('field_invalid', 'ts must be ISO 8601 in UTC');
  if (!isPayloadCodec(codec)) return rejected('field_invalid', 'codec must be 8, 8E or 16');
  return { kind: 'content', content: { form: 'payload', deviceId, ts, codec, payload } };
}

function isPayloadCodec(text: string): text is Codec {
  return payloadCodecs.includes(text);
}

function readFrameForm(deviceId: DeviceId, known: KnownFields): EntryReading {
  const frame = known.value('frame') ?? readHex(known.text('frame_hex') ?? '');
  if (frame === null) return rejected('frame_hex_invalid', 'frame_hex must be pairs of hex digits');
  return { kind: 'content', content: { form: 'frame', deviceId, frame } };
}

function readHex(text: string): Buffer | null {
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
