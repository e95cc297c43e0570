/** Reproducible chance: the same seed and stream give the same numbers on every machine. */
export interface Random {
  /** From 0 up to, not including, 1. */
  next(): number;
  /** An integer from `min` to `max`, both included. */
  int(min: number, max: number): number;
  between(min: number, max: number): number;
  /** True with the given probability. */
  chance(probability: number): boolean;
  /** @throws RangeError for an empty list */
  pick<Item>(items: readonly Item[]): Item;
}

const twoTo32 = 4_294_967_296;
const warmUpRounds = 12;

/**
 * sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, four operations a number. `stream`
 * separates generators of one seed, so that one device's chance does not hang on another's.
 */
export function createRandom(seed: number, stream = 0): Random {
  let a = mix(seed >>> 0);
  let b = mix(Math.floor(seed / twoTo32) ^ 0x9e37_79b9);
  let c = mix(stream ^ 0x85eb_ca6b);
  let counter = 1;

  function word(): number {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
  for (let round = 0; round < warmUpRounds; round += 1) word();

  const next = () => word() / twoTo32;
  return {
    next,
    int: (min, max) => min + Math.floor(next() * (max - min + 1)),
    between: (min, max) => min + next() * (max - min),
    chance: (probability) => next() < probability,
    pick(items) {
      const item = items[Math.floor(next() * items.length)];
      if (item === undefined) throw new RangeError('nothing to pick from');
      return item;
    },
  };
}

/** The finaliser of MurmurHash3: neighbouring seeds give unrelated states. */
function mix(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return mixed ^ (mixed >>> 16);
}
