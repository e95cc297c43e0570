import type { DeviceId } from './types.ts';

const none = -1;
const firstSlots = 1024;
const digitsInFirst = 7;
const zero = 0x30;

/**
 * A few numbers for each of the most recently used devices, up to a capacity; beyond it the longest
 * unused device is evicted. Everything is in typed arrays, by slot: 100,000 devices take 6 MB, are no
 * object of the heap, and a device that is used costs no allocation. A chain links the slots of one hash.
 */
export class DeviceTable {
  readonly #capacity: number;
  readonly #width: number;
  readonly #onEvicted: () => void;
  /** The id in two numbers: its first 7 digits and its last 8. */
  #first = new Int32Array(0);
  #last = new Int32Array(0);
  #numbers = new Float64Array(0);
  /** Neighbours in the order of use. */
  #newer = new Int32Array(0);
  #older = new Int32Array(0);
  /** The next slot of the same hash; of a free slot, the next free one. */
  #chain = new Int32Array(0);
  /** The first slot of each hash; a power of two. */
  #heads = new Int32Array(0);
  #newest = none;
  #oldest = none;
  #free = none;
  /** Slots that have ever been used. */
  #used = 0;
  #size = 0;

  /** @param width how many numbers each device has */
  constructor(capacity: number, width: number, onEvicted: () => void = () => undefined) {
    this.#capacity = capacity;
    this.#width = width;
    this.#onEvicted = onEvicted;
    this.#resize(Math.min(firstSlots, capacity));
  }

  get size(): number {
    return this.#size;
  }

  /** The slot of a device, or -1. It is valid until the next `add` or `remove`. */
  find(id: DeviceId): number {
    const first = numberAt(id, 0, digitsInFirst);
    const last = numberAt(id, digitsInFirst, id.length);
    let slot = this.#heads[this.#hash(first, last)] ?? none;
    while (slot !== none && (this.#last[slot] !== last || this.#first[slot] !== first)) {
      slot = this.#chain[slot] ?? none;
    }
    return slot;
  }

  /** Adds a device that is not in the table, as the one used last. @returns its slot */
  add(id: DeviceId): number {
    if (this.#size === this.#capacity) {
      this.remove(this.#oldest);
      this.#onEvicted();
    }
    const slot = this.#takeSlot();
    this.#first[slot] = numberAt(id, 0, digitsInFirst);
    this.#last[slot] = numberAt(id, digitsInFirst, id.length);
    this.#enchain(slot);
    this.#link(slot);
    this.#size += 1;
    return slot;
  }

  /** Makes the device the one used last. */
  use(slot: number): void {
    if (slot === this.#newest) return;
    this.#unlink(slot);
    this.#link(slot);
  }

  remove(slot: number): void {
    this.#unlink(slot);
    this.#unchain(slot);
    this.#chain[slot] = this.#free;
    this.#free = slot;
    this.#size -= 1;
  }

  get(slot: number, column: number): number {
    return this.#numbers[slot * this.#width + column] ?? 0;
  }

  set(slot: number, column: number, value: number): void {
    this.#numbers[slot * this.#width + column] = value;
  }

  #takeSlot(): number {
    if (this.#free !== none) {
      const slot = this.#free;
      this.#free = this.#chain[slot] ?? none;
      return slot;
    }
    if (this.#used === this.#first.length) {
      this.#resize(Math.min(this.#capacity, this.#used * 2));
    }
    this.#used += 1;
    return this.#used - 1;
  }

  #resize(slots: number): void {
    this.#first = grown(this.#first, slots);
    this.#last = grown(this.#last, slots);
    this.#newer = grown(this.#newer, slots);
    this.#older = grown(this.#older, slots);
    this.#chain = grown(this.#chain, slots);
    const numbers = new Float64Array(slots * this.#width);
    numbers.set(this.#numbers);
    this.#numbers = numbers;
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(slots + 1))).fill(none);
    for (let slot = this.#oldest; slot !== none; slot = this.#newer[slot] ?? none) {
      this.#enchain(slot);
    }
  }

  #hash(first: number, last: number): number {
    const mixed = Math.imul(last, 0x9e37_79b1) ^ Math.imul(first, 0x85eb_ca6b);
    return (mixed ^ (mixed >>> 15)) & (this.#heads.length - 1);
  }

  #hashOf(slot: number): number {
    return this.#hash(this.#first[slot] ?? 0, this.#last[slot] ?? 0);
  }

  #enchain(slot: number): void {
    const hash = this.#hashOf(slot);
    this.#chain[slot] = this.#heads[hash] ?? none;
    this.#heads[hash] = slot;
  }

  #unchain(slot: number): void {
    const hash = this.#hashOf(slot);
    const next = this.#chain[slot] ?? none;
    let before = this.#heads[hash] ?? none;
    if (before === slot) {
      this.#heads[hash] = next;
      return;
    }
    while (this.#chain[before] !== slot) before = this.#chain[before] ?? none;
    this.#chain[before] = next;
  }

  #link(slot: number): void {
    this.#older[slot] = this.#newest;
    this.#newer[slot] = none;
    if (this.#newest !== none) this.#newer[this.#newest] = slot;
    else this.#oldest = slot;
    this.#newest = slot;
  }

  #unlink(slot: number): void {
    const newer = this.#newer[slot] ?? none;
    const older = this.#older[slot] ?? none;
    if (newer !== none) this.#older[newer] = older;
    else this.#newest = older;
    if (older !== none) this.#newer[older] = newer;
    else this.#oldest = newer;
  }
}

function grown(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(length);
  larger.set(array);
  return larger;
}

/** The number that the digits from `from` to `end` write. */
function numberAt(id: DeviceId, from: number, end: number): number {
  let value = 0;
  for (let at = from; at < end; at += 1) value = value * 10 + id.charCodeAt(at) - zero;
  return value;
}
