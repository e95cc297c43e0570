/** Good entries of a fleet, and what spoils them. */
import { encodeTcpData } from '../../src/simulator/avl-encoder.ts';
import { createFleet } from '../../src/simulator/fleet.ts';
import { plainHabits } from '../../src/simulator/habits.ts';
import type { Random } from '../../src/simulator/random.ts';

/** An entry nobody should send: name, value, name, value … */
export type HostileEntry = readonly (string | Buffer)[];

export interface Frame {
  readonly deviceId: string | Buffer;
  readonly frame: Buffer;
}

export interface Payload {
  readonly deviceId: string;
  readonly ts: string;
  readonly codec: string;
  readonly payload: string | Buffer;
}

/** A payload as a fleet has sent it. */
export interface GoodPayload extends Payload {
  readonly payload: string;
}

export interface Samples {
  readonly frames: readonly Frame[];
  readonly payloads: readonly GoodPayload[];
}

const devices = 45;
const samples = 1800;
const preamble = Buffer.alloc(4);
const tcpHeaderBytes = 8;
const crcBytes = 4;

/** Good entries of so many groups of devices; no device is in two of them. */
export function sampleGroups(seed: number, baseTime: number, groups: number): Samples[] {
  const fleet = createFleet({
    ...{ seed, baseTime, devices, form: 'mixed', packetRecords: 3 },
    habits: { ...plainHabits, udp: 0.3 },
    expectedRecords: samples * 4,
  });
  const found = Array.from({ length: groups }, () => ({
    frames: [] as Frame[],
    payloads: [] as GoodPayload[],
  }));
  const places = new Map(fleet.deviceIds.map((id, place) => [String(id), place]));
  for (let made = 0; made < samples; made += 1) {
    const { fields } = fleet.next();
    const deviceId = fieldOf(fields, 'device_id')?.toString() ?? '';
    const group = found[(places.get(deviceId) ?? 0) % groups];
    const frame = fieldOf(fields, 'frame');
    const [ts, codec, payload] = ['ts', 'codec', 'payload'].map((name) => fieldOf(fields, name));
    if (frame) group?.frames.push({ deviceId, frame });
    if (ts && codec && payload) {
      const texts = { ts: ts.toString(), codec: codec.toString(), payload: payload.toString() };
      group?.payloads.push({ deviceId, ...texts });
    }
  }
  return found;
}

function fieldOf(fields: HostileEntry, name: string): Buffer | null {
  const at = fields.indexOf(name);
  const value = at < 0 ? undefined : fields[at + 1];
  return value === undefined ? null : Buffer.from(value);
}

/** The entry of form B. */
export function framed({ deviceId, frame }: Frame): HostileEntry {
  return ['device_id', deviceId, 'frame', frame];
}

/** The entry of form A. */
export function carried({ deviceId, ts, codec, payload }: Payload): HostileEntry {
  return ['device_id', deviceId, 'ts', ts, 'codec', codec, 'payload', payload];
}

/** Bytes of all names and values, as MAX_ENTRY_BYTES counts them. */
export function sizeOf(entry: HostileEntry): number {
  return entry.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
}

export function bytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.int(0, 255)));
}

export function cut(random: Random, { deviceId, frame }: Frame): Frame {
  return { deviceId, frame: frame.subarray(0, random.int(0, frame.length - 1)) };
}

/** One to four bytes anything; in TCP form also within the data only, and the CRC made to fit. */
export function changed(random: Random, { deviceId, frame }: Frame, reseal: boolean): Frame {
  const spoilt = Buffer.from(frame);
  const isTcp = frame.subarray(0, preamble.length).equals(preamble);
  const [from, to] =
    isTcp && reseal ? [tcpHeaderBytes, frame.length - crcBytes - 1] : [0, frame.length - 1];
  for (let changes = random.int(1, 4); changes > 0; changes -= 1) {
    spoilt[random.int(from, to)] = random.int(0, 255);
  }
  if (!isTcp || !reseal) return { deviceId, frame: spoilt };
  return { deviceId, frame: encodeTcpData(spoilt.subarray(from, to + 1)) };
}

/** A payload with another text in the place of a field's value, or without the field (null). */
export function replaced(payload: string, field: string, token: string | null): string {
  const fields: Record<string, unknown> = JSON.parse(payload);
  const texts = Object.entries(fields)
    .filter(([name]) => name !== field)
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  if (token !== null) texts.push(`${JSON.stringify(field)}:${token}`);
  return `{${texts.join()}}`;
}

/** Bytes that no JSON has there, and such that it may have; a lone surrogate arrives as U+FFFD. */
const stains = [
  '',
  '\0',
  '\ud800',
  '"',
  '{',
  '}',
  ',',
  ':',
  '\\',
  '٣',
  '-',
  '0',
  'e9',
  ' ',
  '\x7f',
];

export function stained(random: Random, text: string): string {
  const at = random.int(0, text.length - 1);
  return text.slice(0, at) + random.pick(stains) + text.slice(at + 1);
}

export function nested(random: Random, depth: number): string {
  const inArrays = random.chance(0.5);
  if (inArrays) return `${'['.repeat(depth)}${']'.repeat(depth)}`;
  return `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
}
