import { LRUCache } from 'lru-cache';
import type { DeviceId } from './types.ts';

const firstSlots = 1024;

/**
 * A few numbers for each of the most recently used devices, up to a capacity; beyond it the longest
 * unused device is evicted. The numbers are in one typed array, by slot: they are updated in place, and
 * are no objects that each collection of the heap would mark.
 */
export class DeviceTable {
  readonly #slots: LRUCache<DeviceId, number>;
  readonly #width: number;
  #numbers: Float64Array;
  readonly #free: number[] = [];
  /** Slots that have ever been used. */
  #used = 0;

  /** @param width how many numbers each device has */
  constructor(capacity: number, width: number, onEvicted: () => void = () => undefined) {
    this.#width = width;
    this.#numbers = new Float64Array(Math.min(firstSlots, capacity) * width);
    this.#slots = new LRUCache({
      max: capacity,
      dispose: (slot, _id, reason) => {
        this.#free.push(slot);
        if (reason === 'evict') onEvicted();
      },
    });
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The slot of a device, or -1. It is valid until the next `add` or `remove`. */
  find(id: DeviceId): number {
    return this.#slots.peek(id) ?? -1;
  }

  /** Adds a device that is not in the table, as the one used last. @returns its slot */
  add(id: DeviceId): number {
    if (this.#slots.size === this.#slots.max) this.#slots.pop();
    const slot = this.#free.pop() ?? this.#newSlot();
    this.#slots.set(id, slot);
    return slot;
  }

  /** Makes the device the one used last. @returns its slot, or -1 */
  use(id: DeviceId): number {
    return this.#slots.get(id) ?? -1;
  }

  remove(id: DeviceId): void {
    this.#slots.delete(id);
  }

  get(slot: number, column: number): number {
    return this.#numbers[slot * this.#width + column] ?? 0;
  }

  set(slot: number, column: number, value: number): void {
    this.#numbers[slot * this.#width + column] = value;
  }

  #newSlot(): number {
    const slot = this.#used;
    this.#used += 1;
    if (this.#used * this.#width > this.#numbers.length) {
      const larger = new Float64Array(this.#numbers.length * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    return slot;
  }
}
