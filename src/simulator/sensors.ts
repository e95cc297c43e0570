import type { Codec } from '../core/types.ts';
import type { Random } from './random.ts';
import type { IoGroups } from './record.ts';
import type { Motion } from './route.ts';

/** What is wired to one tracker. */
export interface Sensors {
  /** Mobile country and network code. */
  readonly operator: number;
  batteryPercent(): number;
  /** Millivolts. */
  externalVoltage(): number;
  /** The IO values of one record; `own` are 1-byte values that the device itself adds. */
  read(codec: Exclude<Codec, '7'>, own: readonly number[], motion: Motion): IoGroups;
}

const operators = [24_601, 20_404, 26_201, 29_401, 42_501, 63_902, 50_501, 72_410] as const;

/** An empty length is seen in real data, and 600 bytes at most (protocol measurements). */
const beaconLengths = [0, 1, 19, 38, 57] as const;

/** @param hasIo16 the device's layout has a group of 16-byte values, often an empty one */
export function createSensors(random: Random, hasIo16: boolean): Sensors {
  const operator = random.pick(operators);
  const hasThermometer = random.chance(0.4);
  const hasDriverTags = random.chance(0.5);
  const tags = [tag(random), tag(random), 0n, BigInt(random.int(1, 0xffff_ffff))];
  const iccid = 8_937_000_000_000_000_000n + BigInt(random.int(0, 2_000_000_000));
  let driver = random.pick(tags);
  /** Tenths of a degree, around and below freezing: negative values travel as unsigned ones. */
  let temperature = random.int(-250, 80);

  function externalVoltage(): number {
    return random.int(11_900, 14_500);
  }

  /** Exactly as on the wire: two's complement in 32 bits. */
  function temperatureWord(): number {
    temperature += random.int(-2, 2);
    return temperature >>> 0;
  }

  function fourByteValues(codec: Codec, motion: Motion): number[] {
    const four = [16, Math.floor(motion.odometer), 241, operator];
    if (hasThermometer) four.push(72, temperatureWord());
    if (codec !== '8') four.push(636, random.int(1, 268_435_455));
    return four;
  }

  function eightByteValues(codec: Codec): (readonly [number, bigint])[] {
    const eight: (readonly [number, bigint])[] = [];
    if (hasDriverTags) {
      if (random.chance(0.01)) driver = random.pick(tags);
      eight.push([78, driver]);
    }
    if (codec === '8E') eight.push([11, iccid]);
    return eight;
  }

  function beacons(codec: Codec): (readonly [number, Buffer])[] {
    if (codec !== '8E' || !random.chance(0.3)) return [];
    return [[385, randomBytes(random, random.pick(beaconLengths))]];
  }

  function sixteenByteValues(): (readonly [number, Buffer])[] | null {
    if (!hasIo16) return null;
    return random.chance(0.5) ? [] : [[251, randomBytes(random, 16)]];
  }

  return {
    operator,
    externalVoltage,
    batteryPercent: () => random.int(20, 100),
    read(codec, own, motion) {
      const one = [...own, 21, random.int(1, 5), 80, 1];
      if (codec !== '8') one.push(303, motion.speed > 0 ? 1 : 0);
      return {
        one,
        two: [
          66,
          externalVoltage(),
          67,
          random.int(3_600, 4_200),
          181,
          random.int(8, 40),
          182,
          random.int(5, 30),
          24,
          Math.round(motion.speed),
        ],
        four: fourByteValues(codec, motion),
        eight: eightByteValues(codec),
        sixteen: sixteenByteValues(),
        variable: beacons(codec),
      };
    },
  };
}

function randomBytes(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at += 1) bytes[at] = random.int(0, 255);
  return bytes;
}

/** A Dallas iButton's 64 bits: checksum, serial and family; nearly always beyond 2^53. */
function tag(random: Random): bigint {
  const high = BigInt(random.int(0x0020_0000, 0xffff_ffff));
  return (high << 32n) | BigInt(random.int(0, 0xffff_ffff));
}
