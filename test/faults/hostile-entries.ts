import { createFleet } from '../../src/simulator/fleet.ts';
import { plainHabits } from '../../src/simulator/habits.ts';
import { createRandom, type Random } from '../../src/simulator/random.ts';

/** An entry nobody should send: name, value, name, value … */
export type HostileEntry = readonly (string | Buffer)[];

const imei = '350000000000006';
const ts = '2026-11-01T00:00:00.000Z';
/** Good frames and payloads to spoil. */
const samples = 200;

/**
 * Endless entries of all kinds of badness, and some that are good after all: random bytes, cut
 * and flipped packets, huge fields, deep JSON, wrong types, absurd dates. Seeded.
 */
export function createHostileEntries(seed: number): () => HostileEntry {
  const random = createRandom(seed);
  const frames = goodEntries(seed, 'b').map((fields) => fieldOf(fields, 'frame'));
  const payloads = goodEntries(seed, 'a').map((fields) => fieldOf(fields, 'payload').toString());
  const kinds: readonly (() => HostileEntry)[] = [
    () => frame(bytes(random, random.int(0, 200))),
    () => frame(cut(random, random.pick(frames))),
    () => frame(flipped(random, random.pick(frames))),
    () => frame(Buffer.concat([random.pick(frames), bytes(random, random.int(1, 20))])),
    () => frameHex(random, random.pick(frames)),
    () => payload(spoiledText(random, random.pick(payloads))),
    () => payload(wrongValue(random, random.pick(payloads))),
    () => payload(nested(random)),
    () => payload(random.pick(strangeJson)),
    () =>
      payload(
        JSON.stringify({ ...JSON.parse(random.pick(payloads)), timestamp: strangeTime(random) }),
      ),
    () => ['device_id', strangeDevice(random), 'frame', random.pick(frames)],
    () => strangeFields(random, random.pick(frames)),
    () => anyFields(random),
  ];
  return () => random.pick(kinds)();
}

/** Rarer ones, each of which takes much room: about one in a thousand is enough. */
export function largeEntry(seed: number, number: number): HostileEntry {
  const random = createRandom(seed, number);
  switch (number % 5) {
    case 0:
      return frame(bytes(random, 262_144));
    case 1:
      return frame(bytes(random, 261_000));
    case 2:
      return payload(`{"a":"${'x'.repeat(300_000)}"}`);
    case 3:
      return Array.from({ length: 20_000 }, (_, index) => `f${index}`);
    default:
      return payload('['.repeat(100_000));
  }
}

function goodEntries(seed: number, form: 'a' | 'b'): HostileEntry[] {
  const fleet = createFleet({
    seed,
    baseTime: Date.now(),
    devices: 20,
    form,
    packetRecords: 3,
    habits: plainHabits,
    expectedRecords: samples * 4,
  });
  return Array.from({ length: samples }, () => fleet.next().fields);
}

function fieldOf(fields: HostileEntry, name: string): Buffer {
  const value = fields[fields.indexOf(name) + 1];
  if (value === undefined) throw new Error(`the fleet made an entry without ${name}`);
  return Buffer.from(value);
}

function frame(content: Buffer): HostileEntry {
  return ['device_id', imei, 'frame', content];
}

function payload(text: string): HostileEntry {
  return ['device_id', imei, 'ts', ts, 'codec', '8E', 'payload', text];
}

function bytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.int(0, 255)));
}

function cut(random: Random, good: Buffer): Buffer {
  return good.subarray(0, random.int(0, good.length - 1));
}

function flipped(random: Random, good: Buffer): Buffer {
  const bad = Buffer.from(good);
  for (let flips = random.int(1, 4); flips > 0; flips -= 1) {
    bad[random.int(0, bad.length - 1)] = random.int(0, 255);
  }
  return bad;
}

function frameHex(random: Random, good: Buffer): HostileEntry {
  const hex = good.toString('hex');
  const bad = random.pick([hex.slice(1), `${hex}zz`, ` ${hex}`, '', hex.toUpperCase(), `0x${hex}`]);
  return ['device_id', imei, 'frame_hex', bad];
}

function spoiledText(random: Random, good: string): string {
  const at = random.int(0, good.length - 1);
  return (
    good.slice(0, at) +
    random.pick(['', '\0', '\ud800', '"', '{', '}', ',', '\\', '٣']) +
    good.slice(at + 1)
  );
}

const strangeValues = [
  null,
  true,
  '',
  '12',
  [],
  {},
  -1,
  0.5,
  1e300,
  2 ** 53,
  '\u0000',
  '\ud800',
  { __bigint: '1e5' },
  { __bigint: '9'.repeat(21) },
  { __buffer_b64: '!!' },
  [[]],
];
const payloadFields = [
  'device_id',
  'timestamp',
  'latitude',
  'longitude',
  'altitude',
  'angle',
  'speed',
  'satellites',
  'priority',
  'event_io_id',
  'generation_type',
  'attributes',
  '__proto__',
];

function wrongValue(random: Random, good: string): string {
  const name = random.pick(payloadFields);
  const value = JSON.stringify(random.pick(strangeValues));
  // By hand: an object's own `__proto__` would not be written.
  return `${good.slice(0, -1)},${JSON.stringify(name)}:${value}}`;
}

function nested(random: Random): string {
  const depth = random.int(5, 2000);
  return random.chance(0.5)
    ? `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
    : `${'['.repeat(depth)}${']'.repeat(depth)}`;
}

const strangeJson = [
  '',
  'null',
  'NaN',
  '1e400',
  '-0',
  '"x"',
  '[]',
  '{}',
  'true',
  '{"__proto__":{"x":1}}',
  '{"constructor":{"prototype":{}}}',
  '{"device_id":1}',
  '\ufeff{}',
  '{"a":1e999}',
  "{'a':1}",
];

function strangeTime(random: Random): unknown {
  return random.pick([
    '',
    '0',
    '1970-01-01T00:00:00.000Z',
    '9999-12-31T23:59:59.999Z',
    '2026-02-30T00:00:00Z',
    '+275760-09-13T00:00:00.000Z',
    '2026-11-01',
    '2026-11-01T00:00:00.000+02:00',
    0,
    null,
    '-000001-01-01T00:00:00Z',
    '2106-02-07T06:28:16.000Z',
    '2026-11-01T24:00:00.000Z',
  ]);
}

function strangeDevice(random: Random): string | Buffer {
  return random.pick([
    '',
    '1',
    '35000000000000',
    '3500000000000066',
    '35000000000000a',
    ' 350000000000006',
    '٣٥٠٠٠٠٠٠٠٠٠٠٠٠٦',
    "'; DROP TABLE positions; --",
    '350000000000006\0',
    '-35000000000006',
    Buffer.from([0xff, 0xfe]),
  ]);
}

function strangeFields(random: Random, good: Buffer): HostileEntry {
  return random.pick<HostileEntry>([
    ['frame', good],
    ['device_id', imei],
    ['device_id', imei, 'device_id', imei, 'frame', good],
    ['device_id', imei, 'frame', good, 'frame', good],
    ['device_id', imei, 'frame', good, 'payload', '{}'],
    ['device_id', imei, 'frame', good, 'frame_hex', good.toString('hex')],
    ['device_id', imei, 'ts', ts, 'payload', '{}'],
    ['device_id', imei, 'ts', ts, 'codec', '9', 'payload', '{}'],
    ['Device_ID', imei, 'FRAME', good],
    ['device_id', imei, 'frame', ''],
    ['__proto__', 'x', 'constructor', 'y', 'device_id', imei],
    ['', ''],
  ]);
}

function anyFields(random: Random): HostileEntry {
  const count = random.int(1, 40);
  return Array.from({ length: count * 2 }, () => bytes(random, random.int(0, 20)));
}
