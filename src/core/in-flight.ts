import type { EntryId, HeldEntry } from './types.ts';

export interface InFlightLimits {
  readonly records: number;
  readonly bytes: number;
}

/** Reading resumes at this share of the limits, so that it does not start and stop all the time. */
const lowWater = 0.5;

/**
 * The entries that are read and not yet acknowledged, with limits on their records and bytes.
 * Reading stops at the limits (high water) and resumes at half of them (low water).
 */
export class InFlight {
  readonly #limits: InFlightLimits;
  readonly #held = new Map<number | EntryId, HeldEntry>();
  #records = 0;
  #bytes = 0;
  #full = false;
  #waiting: (() => void)[] = [];
  /** Entries released since `rememberReleases`; null while nobody needs them. */
  #released: Set<number | EntryId> | null = null;

  constructor(limits: InFlightLimits) {
    this.#limits = limits;
  }

  hold(held: HeldEntry): void {
    this.#held.set(keyOf(held.entry.id), held);
    this.#records += held.records;
    this.#bytes += held.entry.bytes;
    this.#full ||= this.#records >= this.#limits.records || this.#bytes >= this.#limits.bytes;
  }

  release(held: HeldEntry): void {
    const key = keyOf(held.entry.id);
    if (!this.#held.delete(key)) return;
    this.#released?.add(key);
    this.#records -= held.records;
    this.#bytes -= held.entry.bytes;
    const { records, bytes } = this.#limits;
    if (this.#records <= records * lowWater && this.#bytes <= bytes * lowWater) this.#full = false;
    this.wake();
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

  get isFull(): boolean {
    return this.#full;
  }

  /** Counts, entry by entry, the records whose outcome is not durable yet. */
  countOpen(): number {
    let open = 0;
    for (const held of this.#held.values()) open += held.open;
    return open;
  }

  /** Resolves on the next release or `wake()`; callers re-check their condition. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
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
