import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { DeviceId } from '../../src/core/types.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';
import { interpretContent } from '../../src/teltonika/interpret.ts';
import {
  encodeArray,
  encodeCodec7,
  encodeMessage,
  encodeRecord,
  repairTcp,
  wrapTcp,
  wrapUdp,
} from '../../tools/teltonika/encode.ts';
import { imei, sentCodec7, sentRecord } from './arbitraries.ts';
import { exhaust, plain } from './expectations.ts';

const runs = 20_000;

const file = new URL('../fixtures/teltonika/examples.json', import.meta.url);
const documented = z
  .array(z.object({ hex: z.string() }))
  .parse(JSON.parse(readFileSync(file, 'utf8')))
  .map(({ hex }) => Buffer.from(hex, 'hex'));

const drawn = (['8', '8E', '16'] as const).flatMap((codec) =>
  fc.sample(fc.array(sentRecord(codec), { maxLength: 4 }), { numRuns: 10, seed: 7 }).map((sent) =>
    encodeArray(
      codec,
      sent.map((record) => encodeRecord(codec, record)),
    ),
  ),
);
const codec7 = fc
  .sample(fc.array(sentCodec7, { maxLength: 4 }), { numRuns: 10, seed: 7 })
  .map((sent) => encodeArray('7', sent.map(encodeCodec7)));
const messages = [12, 13, 14, 15].map((codecId) =>
  encodeMessage(codecId, 1, Buffer.from(`050000000f${'0352093081452251'}67657476657231`, 'hex')),
);
/** TCP frames most of all: their CRC is repaired, so that a change reaches the deep paths. */
const corpus: readonly Buffer[] = [
  ...documented,
  ...[...drawn, ...codec7, ...messages].map(wrapTcp),
  ...drawn.slice(0, 10).map((data) => wrapUdp(data, imei)),
  ...drawn.slice(10, 20),
];

const packet = fc.nat(corpus.length - 1).map((at) => corpus[at] ?? Buffer.alloc(0));
const byte = fc.nat(255);
const place = fc.nat(1_000_000);

function deviceId(): DeviceId {
  if (!isDeviceId(imei)) throw new Error('not an IMEI');
  return imei;
}

const window = { nowMs: 1_767_225_600_000, tsMaxPastMs: 1e12, tsMaxFutureMs: 86_400_000 };

/** Nothing throws, whatever the bytes are, and every answer is well formed. */
function withstand(bytes: Buffer, io16: boolean): void {
  exhaust(bytes, { ...plain, io16 });
  const read = interpretContent(
    { form: 'frame', deviceId: deviceId(), frame: bytes },
    { ...window, maxRecords: 255, io16 },
  );
  if (read.kind !== 'records') return;
  for (const { latitude, longitude } of read.positions) {
    if (latitude !== null && !(Math.abs(latitude) <= 90)) throw new Error('latitude let through');
    if (longitude !== null && !(Math.abs(longitude) <= 180))
      throw new Error('longitude let through');
  }
}

const repaired = (bytes: Buffer, repair: boolean): Buffer => (repair ? repairTcp(bytes) : bytes);

test('bits flipped anywhere are answered, never thrown', () => {
  const flips = fc.array(fc.tuple(place, fc.nat(7)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(packet, flips, fc.boolean(), fc.boolean(), (original, bits, repair, io16) => {
      const bytes = Buffer.from(original);
      for (const [at, bit] of bits) {
        const index = at % bytes.length;
        bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
      }
      withstand(repaired(bytes, repair), io16);
    }),
    { numRuns: runs },
  );
});

test('bytes cut out anywhere are answered, never thrown', () => {
  fc.assert(
    fc.property(packet, place, fc.nat(40), fc.boolean(), (original, at, size, repair) => {
      const start = at % original.length;
      const bytes = Buffer.concat([original.subarray(0, start), original.subarray(start + size)]);
      withstand(repaired(bytes, repair), false);
    }),
    { numRuns: runs },
  );
});

test('the head of one packet on the tail of another is answered, never thrown', () => {
  fc.assert(
    fc.property(packet, packet, place, place, fc.boolean(), (head, tail, from, to, repair) => {
      const bytes = Buffer.concat([
        head.subarray(0, from % (head.length + 1)),
        tail.subarray(to % (tail.length + 1)),
      ]);
      withstand(repaired(bytes, repair), false);
    }),
    { numRuns: runs },
  );
});

test('counts and lengths edited to any value are answered, never thrown', () => {
  // Where codec 8 and 8E have their counts, and a few bytes around.
  const near = fc.oneof(fc.constantFrom(0, 1, 4, 7, 8, 9, 35, 36, 37, 38, 39, 40, 41), place);
  const edits = fc.array(fc.tuple(near, byte), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(packet, edits, fc.boolean(), fc.boolean(), (original, list, repair, io16) => {
      const bytes = Buffer.from(original);
      for (const [at, value] of list) bytes[at % bytes.length] = value;
      withstand(repaired(bytes, repair), io16);
    }),
    { numRuns: runs },
  );
});

test('any bytes in a whole TCP wrapping are answered, never thrown', () => {
  const codecId = fc.constantFrom(0x07, 0x08, 0x8e, 0x10, 0x0c, 0x0d, 0x0e, 0x0f);
  fc.assert(
    fc.property(codecId, fc.nat(4), fc.uint8Array({ maxLength: 80 }), (id, count, body) => {
      withstand(wrapTcp(encodeMessage(id, count, Buffer.from(body))), false);
    }),
    { numRuns: runs },
  );
});

test('the packets that are changed decode before they are', () => {
  const kinds = corpus.map((bytes) => exhaust(bytes));
  expect(kinds.filter((kind) => kind === 'records').length).toBeGreaterThan(60);
  expect(kinds.filter((kind) => kind === 'message').length).toBeGreaterThan(10);
});
