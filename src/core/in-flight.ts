import type { InFlightBudget } from './in-flight-budget.ts';
import type { Entry, EntryId, HeldEntry } from './types.ts';

/** Reading resumes at this share of the limits, so that it does not start and stop all the time. */
const lowWater = 0.5;

/**
 * The entries of one stream that are read and not yet acknowledged, within the budget of the process.
 * Reading stops at the limits (high water) and resumes at half of them (low water).
 */
export class InFlight {
  readonly #budget: InFlightBudget;
  readonly #held = new Set<HeldEntry>();
  /** What is held by its id, from the first look-up until `forgetReleases`: most reads need none. */
  #byId: Map<EntryId, HeldEntry> | null = null;
  /** The highest id that was read; null before the first read. */
  #newest: EntryId | null = null;
  #records = 0;
  #bytes = 0;
  #full = false;
  /** Entries released since `rememberReleases`; null while nobody needs them. */
  #released: Map<EntryId, HeldEntry> | null = null;

  constructor(budget: InFlightBudget) {
    this.#budget = budget;
  }

  hold(held: HeldEntry): void {
    this.#held.add(held);
    this.#byId?.set(held.entry.id, held);
    this.#add(held.records, held.entry.bytes);
    this.#full ||= this.#isHigh();
  }

  release(held: HeldEntry): void {
    this.releaseAll([held]);
  }

  /** Releases entries and wakes those that wait, once. */
  releaseAll(entries: readonly HeldEntry[]): void {
    for (const held of entries) {
      if (!this.#held.delete(held)) continue;
      const { id } = held.entry;
      if (this.#byId?.get(id) === held) this.#byId.delete(id);
      if (!held.isReplaced) this.#released?.set(id, held);
      this.#add(-held.records, -held.entry.bytes);
    }
    if (this.#isLow()) this.#full = false;
    this.wake();
  }

  /**
   * Returns the entries that are not in flight and were not released during the read. A new entry is
   * not skipped for a release: a group that is moved back delivers entries again. Redis delivers in the
   * order of ids: new entries behind all that were read need no look-up, and these are nearly all.
   * An id can come back with another entry after a failover to a replica that lacked the first one.
   * Then the one in flight is marked as replaced, and the other is returned.
   */
  withoutHeld(entries: readonly Entry[]): readonly Entry[] {
    const [first] = entries;
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return entries;
    const newest = this.#newest;
    if (newest === null || isAfter(last.id, newest)) this.#newest = last.id;
    if (first.source === 'new' && (newest === null || isAfter(first.id, newest))) return entries;
    return entries.filter((entry) => this.#isFresh(entry));
  }

  #isFresh(entry: Entry): boolean {
    const { id, source, fields } = entry;
    const held = this.#find(id);
    if (held === undefined) return source === 'new' || !this.wasReleased(entry);
    if (held.entry.fields.equals(fields)) return false;
    held.isReplaced = true;
    return true;
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
    return this.#find(id) !== undefined;
  }

  #find(id: EntryId): HeldEntry | undefined {
    this.#byId ??= new Map(this.list().map((held) => [held.entry.id, held]));
    return this.#byId.get(id);
  }

  /**
   * From here to `forgetReleases`, `wasReleased` knows the entries that are released. A read of pending
   * entries may find one that is acknowledged before its reply is processed.
   */
  rememberReleases(): void {
    this.#released ??= new Map();
  }

  /** Whether this entry was released, and not only another one under its id. */
  wasReleased({ id, fields }: Entry): boolean {
    return this.#released?.get(id)?.entry.fields.equals(fields) ?? false;
  }

  forgetReleases(): void {
    this.#released = null;
    this.#byId = null;
  }

  ids(): EntryId[] {
    return this.list().map(({ entry }) => entry.id);
  }

  /** Oldest first. */
  list(): HeldEntry[] {
    return [...this.#held];
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
    for (const held of this.#held) open += held.open;
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

/** Whether one id is higher than another: `<milliseconds>-<sequence>`, without leading zeros. */
function isAfter(id: EntryId, other: EntryId): boolean {
  const [ms = '', sequence = ''] = id.split('-');
  const [otherMs = '', otherSequence = ''] = other.split('-');
  return ms === otherMs ? isMore(sequence, otherSequence) : isMore(ms, otherMs);
}

function isMore(digits: string, others: string): boolean {
  return digits.length === others.length ? digits > others : digits.length > others.length;
}
