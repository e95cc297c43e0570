import fc from 'fast-check';
import type {
  AvlCodec,
  IoGroup,
  SentCodec7,
  SentIo,
  SentRecord,
} from '../../tools/teltonika/encode.ts';

export const imei = '356307042441013';

const bytes = (least: number, most: number) =>
  fc.uint8Array({ minLength: least, maxLength: most }).map((value) => Buffer.from(value));

function sentIo(group: IoGroup, maxId: number): fc.Arbitrary<SentIo> {
  const value = group === 'variable' ? bytes(0, 40) : bytes(group, group);
  return fc.record({ id: fc.integer({ min: 0, max: maxId }), group: fc.constant(group), value });
}

/** IO elements of a codec's groups, in wire order; ids may repeat. */
function sentIoList(groups: readonly IoGroup[], maxId: number): fc.Arbitrary<SentIo[]> {
  return fc
    .tuple(...groups.map((group) => fc.array(sentIo(group, maxId), { maxLength: 6 })))
    .map((lists) => lists.flat());
}

export function sentRecord(codec: AvlCodec, io16 = false): fc.Arbitrary<SentRecord> {
  const groups: IoGroup[] = [1, 2, 4, 8];
  if (io16) groups.push(16);
  if (codec === '8E') groups.push('variable');
  const maxId = codec === '8' ? 255 : 65_535;
  return fc.record({
    ts: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    priority: fc.integer({ min: 0, max: 255 }),
    longitude: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    latitude: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    altitude: fc.integer({ min: -32_768, max: 32_767 }),
    angle: fc.integer({ min: 0, max: 65_535 }),
    satellites: fc.integer({ min: 0, max: 255 }),
    speed: fc.integer({ min: 0, max: 65_535 }),
    eventIoId: fc.integer({ min: 0, max: maxId }),
    generationType: fc.integer({ min: 0, max: 255 }),
    io: sentIoList(groups, maxId),
  });
}

/** A record that passes every range check, `now` being 2026-01-01. */
export function storableRecord(codec: AvlCodec): fc.Arbitrary<SentRecord> {
  return fc
    .tuple(
      sentRecord(codec),
      fc.record({
        ts: fc.bigInt({ min: 1_600_000_000_000n, max: 1_767_225_600_000n }),
        longitude: fc.integer({ min: -1_800_000_000, max: 1_800_000_000 }),
        latitude: fc.integer({ min: -900_000_000, max: 900_000_000 }),
        angle: fc.integer({ min: 0, max: 360 }),
      }),
    )
    .map(([any, narrow]) => ({ ...any, ...narrow }));
}

const byte = fc.integer({ min: 0, max: 255 });
const word = fc.integer({ min: 0, max: 65_535 });

export const sentCodec7: fc.Arbitrary<SentCodec7> = fc.record({
  seconds: fc.integer({ min: 0, max: 2 ** 30 - 1 }),
  priority: fc.integer({ min: 0, max: 3 }),
  gps: fc.option(
    fc.record(
      {
        coordinates: fc.record({
          latitude: fc.float({ min: -90, max: 90, noNaN: true }),
          longitude: fc.float({ min: -180, max: 180, noNaN: true }),
        }),
        altitude: word,
        angle: byte,
        speed: byte,
        satellites: byte,
        cell: fc.record({ lac: word, cid: word }),
        rssi: byte,
        operator: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      },
      { requiredKeys: [] },
    ),
  ),
  io: sentIoList([1, 2, 4], 255),
});
