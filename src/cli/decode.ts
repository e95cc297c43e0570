import { isUtf8 } from 'node:buffer';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { ByteRange, codecs } from '../core/types.ts';
import { type AvlRecord, exactTimestamp } from '../teltonika/avl-record.ts';
import { decodeFrame, type MessagePacket } from '../teltonika/decode.ts';
import { handshakeImei } from '../teltonika/frame.ts';
import { parseHex } from '../teltonika/hex.ts';
import { ioElements } from '../teltonika/io.ts';
import { parseIsoMs } from '../teltonika/iso-time.ts';
import { parseMessage } from '../teltonika/message.ts';
import { decodePayload, type PayloadRecord, readPayloadValue } from '../teltonika/payload.ts';
import { linesOf, MAX_LINE_BYTES } from './decode-lines.ts';
import { type Names, namesOf } from './decode-names.ts';
import type { SetExitCode } from './options.ts';

/** Registers `processor decode`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .argument('[hex]', 'the packet; without it lines are read from stdin')
    .option('--skip-crc', 'do not compare the CRC, for edited captures', false)
    .option('--io16', 'try the IO layout with a 16-byte group first', false)
    .option('--names', "show the IO elements' names, typed values and units", false)
    .option('--model <model>', 'for --names: the model, as FMC130, or its family', 'FMB')
    .addHelpText('after', '\nExit codes: 0 every input decoded, 1 an input failed.')
    .action(async (hex: string | undefined, options: Omit<DecodeArgs, 'hex'>) => {
      setExitCode(await runDecode({ hex, ...options }, process));
    });
}

export interface DecodeArgs {
  /** A packet as hex; without it, inputs are the lines of stdin. */
  readonly hex: string | undefined;
  /** Decode TCP frames whatever their CRC says. */
  readonly skipCrc: boolean;
  readonly io16: boolean;
  /** Show each IO element's name, typed value and unit. */
  readonly names: boolean;
  /** For `names`: the tracker's model, or its family. */
  readonly model: string;
}

const MAX_RECORDS = 255;
/** JavaScript's last date, in milliseconds. */
const MAX_DATE_MS = 8_640_000_000_000_000n;

type Answer = Readonly<Record<string, unknown>>;
interface Failure {
  readonly code: string;
  readonly message: string;
  readonly offset: number | null;
}
interface Options extends Pick<DecodeArgs, 'skipCrc' | 'io16'> {
  readonly names: Names | null;
}
type FieldReader = (value: unknown, entry: JsonObject, options: Options) => Answer;
type JsonObject = Readonly<Record<string, unknown>>;

/**
 * `processor decode`: packets in, one JSON line each out. The hex argument, or each line of stdin:
 * hex (blanks and `0x` tolerated), a JSON string of hex, or a JSON object with `hex`, `frame_hex`,
 * `frame` (base64) or `payload` (a payload entry). No time window and no range is applied: what the
 * packet says is shown.
 *
 * A line is `{codec, transport, records}`, `{codec, transport, message}`,
 * `{codec: null, transport: "tcp-handshake", imei}` or `{error: {code, message, offset}}`.
 * A time outside JavaScript's dates is `"ts": null` and `"tsMs"` with all its digits. A payload's
 * record has transport `payload` and `attributes` in place of `io`: the widths are gone by then.
 * With names an answer has the model's `family`, and each element `name`, `value` and `unit`, or
 * the raw value and in `note` why; a payload's record has them as `io` beside its `attributes`.
 *
 * @returns the exit code: 1 if any input failed, or if stdout was closed before the last answer.
 */
export async function runDecode(
  args: DecodeArgs,
  io: { readonly stdin: Readable; readonly stdout: Writable },
): Promise<number> {
  const { skipCrc, io16 } = args;
  const options: Options = { skipCrc, io16, names: args.names ? namesOf(args.model) : null };
  let failed = false;
  async function* answers(): AsyncGenerator<string> {
    for await (const line of args.hex === undefined ? linesOf(io.stdin) : [Buffer.from(args.hex)]) {
      const answer = answerToLine(line, options);
      if ('error' in answer) failed = true;
      yield `${JSON.stringify(answer)}\n`;
    }
  }
  try {
    await pipeline(answers, io.stdout, { end: false });
  } catch (cause) {
    // `processor decode | head -1`: the reader closed the pipe, so no more answers are needed.
    if (isClosedPipe(cause)) return 1;
    throw cause;
  }
  return failed ? 1 : 0;
}

function answerToLine(line: Buffer | null, options: Options): Answer {
  if (line === null) {
    return failure('entry_too_large', `a line has at most ${MAX_LINE_BYTES} bytes`);
  }
  if (!isUtf8(line)) return failure('json_invalid', 'the line is not UTF-8');
  const text = line.toString('utf8').trim();
  if (!text.startsWith('{') && !text.startsWith('"')) return answerToHex(text, options);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return failure('json_invalid', 'expected hex, a JSON string of hex or a JSON object');
  }
  return isObject(json) ? answerToEntry(json, options) : answerToHex(json, options);
}

/** The fields that hold a packet or a payload; an input has exactly one of them. */
const fieldReaders: Readonly<Record<string, FieldReader>> = {
  hex: (value, _entry, options) => answerToHex(value, options),
  frame_hex: (value, _entry, options) => answerToHex(value, options),
  frame: (value, _entry, options) => answerToBase64(value, options),
  payload: (value, entry, options) => answerToPayload(value, entry, options),
};

function answerToEntry(entry: JsonObject, options: Options): Answer {
  const present = Object.entries(fieldReaders).filter(([field]) => Object.hasOwn(entry, field));
  const [only] = present;
  if (only === undefined) {
    return failure('form_unknown', 'expected one of hex, frame_hex, frame and payload');
  }
  if (present.length > 1) {
    return failure('form_ambiguous', 'expected only one of hex, frame_hex, frame and payload');
  }
  const [field, read] = only;
  return read(entry[field], entry, options);
}

function answerToHex(hex: unknown, options: Options): Answer {
  if (typeof hex !== 'string') return failure('field_invalid', 'hex: expected a string');
  const bytes = parseHex(hex);
  return Buffer.isBuffer(bytes) ? answerToPacket(bytes, options) : errorAnswer(bytes);
}

function answerToBase64(base64: unknown, options: Options): Answer {
  if (typeof base64 !== 'string') return failure('field_invalid', 'frame: expected a string');
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64) {
    return failure('field_invalid', 'frame: expected base64');
  }
  return answerToPacket(bytes, options);
}

function answerToPacket(bytes: Buffer, options: Options): Answer {
  const imei = handshakeImei(bytes);
  if (imei !== null) return { codec: null, transport: 'tcp-handshake', imei };
  const { skipCrc, io16 } = options;
  const packet = decodeFrame(bytes, { skipCrc, io16, maxRecords: MAX_RECORDS });
  if (packet.kind === 'error') return errorAnswer(packet);
  const { codec, transport } = packet;
  if (packet.kind === 'message') return { codec, transport, message: messageFields(packet) };
  const [fault] = packet.faults;
  if (fault !== undefined) return errorAnswer(fault.error);
  const names = namesFor(codec, options);
  const records = packet.records.map((record) => recordFields(record, names));
  return { codec, transport, ...familyField(names), records };
}

/** The GH3000 and GH4000, which send codec 7, number their elements in their own way. */
function namesFor(codec: unknown, { names }: Options): Names | null {
  return names !== null && codec === '7' ? namesOf(null) : names;
}

function familyField(names: Names | null): Answer {
  return names === null ? {} : { family: names.family };
}

function recordFields(record: AvlRecord, names: Names | null): Answer {
  const elements = ioElements(record.io);
  return {
    ...timeFields(record),
    priority: record.priority,
    latitude: record.latitude,
    longitude: record.longitude,
    altitude: record.altitude,
    angle: record.angle,
    satellites: record.satellites,
    speed: record.speed,
    eventIoId: record.eventIoId,
    generationType: record.generationType,
    io: names === null ? elements : names.elements(elements),
    ...(record.cell === null ? {} : { cell: record.cell }),
  };
}

function timeFields(record: AvlRecord): Answer {
  const exact = exactTimestamp(record);
  return exact <= MAX_DATE_MS
    ? { ts: new Date(record.ts).toISOString() }
    : { ts: null, tsMs: exact.toString() };
}

/** The first message; `count` and `rest` say when there is more than that one. */
function messageFields({ codec, body }: MessagePacket): Answer {
  const message = parseMessage(body);
  const { type, text, imei, imeiHex, timestamp } = message;
  return {
    type,
    text,
    hex: message.payload.toString('hex'),
    ...(codec === '14' || codec === '15' ? { imei, imeiHex } : {}),
    ...(codec === '13' || codec === '15'
      ? { timestamp: timestamp === null ? null : new Date(timestamp).toISOString() }
      : {}),
    ...(message.statedSize === null ? {} : { incomplete: { statedSize: message.statedSize } }),
    ...(body.count === 1 ? {} : { count: body.count }),
    ...(message.rest.length === 0 ? {} : { rest: message.rest.toString('hex') }),
  };
}

function answerToPayload(payload: unknown, entry: JsonObject, options: Options): Answer {
  const record =
    typeof payload === 'string'
      ? decodePayload(new ByteRange(Buffer.from(payload)))
      : readPayloadValue(payload);
  if (record.kind === 'error') return errorAnswer(record);
  const { codec } = entry;
  return disagreement(record, entry) ?? payloadAnswer(record, codec, namesFor(codec, options));
}

/** The entry's own `device_id` and `ts`, where the input has them, must agree with the payload. */
function disagreement(record: PayloadRecord, entry: JsonObject): Answer | null {
  const { device_id: deviceId, ts } = entry;
  if (deviceId !== undefined && deviceId !== record.deviceId) {
    return failure('device_id_mismatch', "the payload's device_id is not the entry's");
  }
  if (ts !== undefined && (typeof ts !== 'string' || parseIsoMs(ts) !== record.ts)) {
    return failure('ts_mismatch', "the payload's timestamp is not the entry's ts");
  }
  return null;
}

function payloadAnswer(record: PayloadRecord, codec: unknown, names: Names | null): Answer {
  const { kind: _kind, deviceId: _deviceId, ts, attributes, ...fields } = record;
  // Our own text, made from checked ids and values: it parses.
  const values: unknown = JSON.parse(String(attributes));
  return {
    codec: codecs.find((known) => known === codec) ?? null,
    transport: 'payload',
    ...familyField(names),
    records: [
      {
        ts: new Date(ts).toISOString(),
        ...fields,
        attributes: values,
        ...(names === null ? {} : { io: names.attributes(values) }),
      },
    ],
  };
}

function failure(code: Failure['code'], message: string): Answer {
  return errorAnswer({ code, message, offset: null });
}

function errorAnswer({ code, message, offset }: Failure): Answer {
  return { error: { code, message, offset } };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isClosedPipe(cause: unknown): boolean {
  if (!(cause instanceof Error) || !('code' in cause)) return false;
  return cause.code === 'EPIPE' || cause.code === 'ERR_STREAM_PREMATURE_CLOSE';
}
