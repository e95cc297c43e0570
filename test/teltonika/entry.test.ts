import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Entry } from '../../src/core/types.ts';
import { type EntryReading, readEntry } from '../../src/teltonika/entry.ts';
import { entryOf } from '../stream/entries.ts';

const maxBytes = 10_000;
const device = '352093081452251';
const payloadForm = {
  device_id: device,
  ts: '2026-03-01T12:00:00.123Z',
  codec: '8E',
  payload: '{"gps":{}}',
};

type Fields = Readonly<Record<string, string | Buffer>>;

function read(fields: Fields, more: readonly (string | Buffer)[] = []): EntryReading {
  return readEntry(entryOf([...Object.entries(fields).flat(), ...more]), maxBytes);
}

function reasonOf(reading: EntryReading): string {
  return reading.kind === 'rejected' ? reading.rejection.reason : reading.kind;
}

/** The payload's own bytes, wherever they are in the entry's. */
function payloadOf(reading: EntryReading): Buffer {
  if (reading.kind === 'rejected' || reading.content.form === 'frame') {
    throw new Error(`no payload: ${reasonOf(reading)}`);
  }
  return Buffer.from(reading.content.payload.view());
}

function contentOf(reading: EntryReading): object {
  if (reading.kind === 'rejected') throw new Error(reading.rejection.reason);
  return { ...reading.content, payload: payloadOf(reading) };
}

function without(name: keyof typeof payloadForm): Fields {
  return Object.fromEntries(Object.entries(payloadForm).filter(([key]) => key !== name));
}

describe('a valid entry', () => {
  test('with a payload gives device, time, codec and the payload byte for byte', () => {
    const payload = Buffer.from([0x7b, 0xff, 0x00, 0x7d]);

    const reading = read({ ...payloadForm, payload });

    expect(reading).toMatchObject({
      kind: 'content',
      content: {
        form: 'payload',
        deviceId: device,
        ts: Date.UTC(2026, 2, 1, 12, 0, 0, 123),
        codec: '8E',
      },
    });
    expect(payloadOf(reading)).toEqual(payload);
  });

  test.each(['8', '8E', '16'])('with a payload may have codec %s', (codec) => {
    expect(read({ ...payloadForm, codec })).toMatchObject({ content: { codec } });
  });

  test('with a binary frame gives the frame byte for byte', () => {
    const frame = Buffer.from([0, 0, 0, 0, 0xff, 0x80, 0x0a]);

    expect(read({ device_id: device, frame })).toEqual({
      kind: 'content',
      content: { form: 'frame', deviceId: device, frame },
    });
  });

  test('with frame_hex gives the frame, from upper and lower case digits', () => {
    expect(read({ device_id: device, frame_hex: '00fFA0' })).toEqual({
      kind: 'content',
      content: { form: 'frame', deviceId: device, frame: Buffer.from([0, 0xff, 0xa0]) },
    });
  });

  test('gives the same content for every order of its fields', () => {
    const reversed = Object.fromEntries(Object.entries(payloadForm).toReversed());

    expect(contentOf(read(reversed))).toEqual(contentOf(read(payloadForm)));
  });

  test('may have unknown fields, also twice', () => {
    const more = ['trace', '1', 'trace', '2', 'x'.repeat(65), ''];
    expect(contentOf(read(payloadForm, more))).toEqual(contentOf(read(payloadForm)));
  });
});

describe('an entry is rejected as', () => {
  test.each<[string, Fields]>([
    ['field_missing', without('device_id')],
    ['field_missing', without('ts')],
    ['field_missing', without('codec')],
    ['form_unknown', without('payload')],
    ['field_missing', {}],
    ['form_ambiguous', { ...payloadForm, frame: 'x' }],
    ['form_ambiguous', { ...payloadForm, frame_hex: '00' }],
    ['form_ambiguous', { device_id: device, frame: 'x', frame_hex: '00' }],
    ['device_id_invalid', { ...payloadForm, device_id: '35209308145225' }],
    ['device_id_invalid', { ...payloadForm, device_id: '3520930814522511' }],
    ['device_id_invalid', { ...payloadForm, device_id: `${device}\n` }],
    ['device_id_invalid', { ...payloadForm, device_id: '٣٥٢٠٩٣٠٨١٤٥٢٢٥١' }],
    ['field_invalid', { ...payloadForm, ts: 'yesterday' }],
    ['field_invalid', { ...payloadForm, ts: '' }],
    ['field_invalid', { ...payloadForm, ts: `2026-03-01T12:00:00.${'0'.repeat(30)}Z` }],
    ['field_invalid', { ...payloadForm, codec: '7' }],
    ['field_invalid', { ...payloadForm, codec: '8e' }],
    ['field_invalid', { ...payloadForm, codec: '12' }],
    ['frame_hex_invalid', { device_id: device, frame_hex: '' }],
    ['frame_hex_invalid', { device_id: device, frame_hex: '0' }],
    ['frame_hex_invalid', { device_id: device, frame_hex: '0x00' }],
    ['frame_hex_invalid', { device_id: device, frame_hex: '00 01' }],
  ])('%s: %j', (reason, fields) => {
    expect(reasonOf(read(fields))).toBe(reason);
  });

  test.each(['device_id', 'payload', 'ts', 'codec', 'received_at'])(
    'field_repeated when %s occurs twice',
    (name) => {
      const more = name === 'received_at' ? [name, '1', name, '2'] : [name, '1'];
      expect(reasonOf(read(payloadForm, more))).toBe('field_repeated');
    },
  );

  test('entry_too_large when it is one byte larger than the limit', () => {
    const sized = (bytes: number) => entryOf(['device_id', 'x'.repeat(bytes - 9)]);

    expect(reasonOf(readEntry(sized(10_000), maxBytes))).toBe('device_id_invalid');
    expect(reasonOf(readEntry(sized(10_001), maxBytes))).toBe('entry_too_large');
  });

  test('field_count when it has more than 32 fields', () => {
    const extra = (fields: number) => Array.from({ length: fields * 2 }, (_, at) => `x${at}`);

    expect(reasonOf(read(payloadForm, extra(28)))).toBe('content');
    expect(reasonOf(read(payloadForm, extra(29)))).toBe('field_count');
  });

  test('a whole, with a message that contains none of its values', () => {
    const reading = read({ ...payloadForm, codec: 'hunter2' });

    expect(reading).toMatchObject({
      kind: 'rejected',
      rejection: { stage: 'decode', recordIndex: null, offset: null },
    });
    expect(JSON.stringify(reading)).not.toContain('hunter2');
    expect(JSON.stringify(reading)).not.toContain(device);
  });
});

test('readEntry never throws', () => {
  const name = fc.oneof(
    fc.constantFrom('device_id', 'ts', 'codec', 'payload', 'frame', 'frame_hex'),
    fc.string(),
  );
  const value = fc.oneof(
    fc.constantFrom(...Object.values(payloadForm)),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), (pairs) => {
      const entry: Entry = entryOf(pairs.flat());
      expect(['content', 'rejected']).toContain(readEntry(entry, maxBytes).kind);
    }),
  );
});
