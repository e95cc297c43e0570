import type { InFlightBudget } from './in-flight-budget.ts';
import type { EntryId, HeldEntry } from './types.ts';

/** Reading resumes at this share of the limits, so that it does not start and stop all the time. */
const lowWater = 0.5;

/**
 * The entries of one stream that are read and not yet acknowledged, within the budget of the process.
 * Reading stops at the limits (high water) and resumes at half of them (low water).
 */
export class InFlight {
  readonly #budget: InFlightBudget;
  readonly #held = new Map<number | EntryId, HeldEntry>();
  #records = 0;
  #bytes = 0;
  #full = false;
  /** Entries released since `rememberReleases`; null while nobody needs them. */
  #released: Set<number | EntryId> | null = null;

  constructor(budget: InFlightBudget) {
    this.#budget = budget;
  }

  hold(held: HeldEntry): void {
    this.#held.set(keyOf(held.entry.id), held);
    this.#add(held.records, held.entry.bytes);
    this.#full ||= this.#isHigh();
  }

  release(held: HeldEntry): void {
    const key = keyOf(held.entry.id);
    if (!this.#held.delete(key)) return;
    this.#released?.add(key);
    this.#add(-held.records, -held.entry.bytes);
    if (this.#isLow()) this.#full = false;
    this.wake();
  }

  #add(records: number, bytes: number): void {
    const { reserve, used } = this.#budget;
    used.records -= beyond(this.#records, reserve.records);
    used.bytes -= beyond(this.#bytes, reserve.bytes);
    this.#records += records;
    this.#bytes += bytes;
    used.records += beyond(this.#records, reserve.records);
    used.bytes += beyond(this.#bytes, reserve.bytes);
  }

  #isHigh(): boolean {
    const { reserve, used, shared } = this.#budget;
    return (
      (this.#records >= reserve.records && used.records >= shared.records) ||
      (this.#bytes >= reserve.bytes && used.bytes >= shared.bytes)
    );
  }

  #isLow(): boolean {
    const { reserve, used, shared } = this.#budget;
    return (
      (this.#records <= reserve.records * lowWater || used.records <= shared.records * lowWater) &&
      (this.#bytes <= reserve.bytes * lowWater || used.bytes <= shared.bytes * lowWater)
    );
  }

  has(id: EntryId): boolean {
    return this.#held.has(keyOf(id));
  }

  /**
   * From here to `forgetReleases`, `wasReleased` knows the entries that are released. A read of pending
   * entries may find one that is acknowledged before its reply is processed.
   */
  rememberReleases(): void {
    this.#released ??= new Set();
  }

  wasReleased(id: EntryId): boolean {
    return this.#released?.has(keyOf(id)) ?? false;
  }

  forgetReleases(): void {
    this.#released = null;
  }

  ids(): EntryId[] {
    return this.list().map(({ entry }) => entry.id);
  }

  /** Oldest first. */
  list(): HeldEntry[] {
    return [...this.#held.values()];
  }

  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get entries(): number {
    return this.#held.size;
  }

  /** Whether reading stops. Other sides use the shared part of the budget, and release it. */
  get isFull(): boolean {
    if (this.#full && this.#isLow()) this.#full = false;
    this.#full ||= this.#isHigh();
    return this.#full;
  }

  /** Counts, entry by entry, the records whose outcome is not durable yet. */
  countOpen(): number {
    let open = 0;
    for (const held of this.#held.values()) open += held.open;
    return open;
  }

  /** Resolves on the next release of any side, or on `wake()`; callers re-check their condition. */
  changed(): Promise<void> {
    return this.#budget.changed();
  }

  wake(): void {
    this.#budget.wake();
  }
}

function beyond(amount: number, reserve: number): number {
  return Math.max(0, amount - reserve);
}

const dash = 0x2d;
const zero = 0x30;
/** A sequence number below this and a time before the year 2039 fit one exact number together. */
const maxSequences = 4096;
const maxMs = Number.MAX_SAFE_INTEGER / maxSequences - 1;

/** Returns the id as a number where that is exact: hashing a text takes seven times as long (measured). */
function keyOf(id: EntryId): number | EntryId {
  let at = 0;
  let ms = 0;
  for (; at < id.length && id.charCodeAt(at) !== dash; at += 1) {
    ms = ms * 10 + id.charCodeAt(at) - zero;
  }
  let sequence = 0;
  for (at += 1; at < id.length; at += 1) sequence = sequence * 10 + id.charCodeAt(at) - zero;
  return ms < maxMs && sequence < maxSequences ? ms * maxSequences + sequence : id;
}
