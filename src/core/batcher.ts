import type { Batch, BatchClosing, HeldEntry, Position } from './types.ts';

export interface BatchLimits {
  readonly rows: number;
  readonly bytes: number;
}

/** Bytes of a row's fixed columns; the attributes' length is added. */
const rowOverheadBytes = 120;

/**
 * Collects rows while the writers are busy. A free writer takes all rows, up to the limits, at once:
 * without load a row is written alone and immediately, and under load batches grow large.
 */
export class Batcher {
  readonly #limits: BatchLimits;
  #rows: Position[] = [];
  #owners: HeldEntry[] = [];
  #closed = false;
  #batches = 0;
  #waiting: (() => void)[] = [];

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#rows.length;
  }

  add(row: Position, owner: HeldEntry): void {
    this.#rows.push(row);
    this.#owners.push(owner);
  }

  /** Wakes a waiting writer. Call it once after several `add`: one wake-up a read, not one a row. */
  offer(): void {
    if (this.#rows.length > 0) this.#waiting.shift()?.();
  }

  /** Ends the input: `take` returns the rows that are left, then null. */
  close(): void {
    this.#closed = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Returns the next batch, or null once the batcher is closed and empty. */
  async take(): Promise<Batch | null> {
    while (this.#rows.length === 0) {
      if (this.#closed) return null;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    const { count, closedBy } = this.#measure();
    const rows = this.#rows;
    const owners = this.#owners;
    this.#rows = rows.slice(count);
    this.#owners = owners.slice(count);
    if (this.#rows.length > 0) this.#waiting.shift()?.();
    rows.length = count;
    owners.length = count;
    this.#batches += 1;
    return { id: this.#batches, rows, owners, closedBy };
  }

  #measure(): { count: number; closedBy: BatchClosing } {
    let bytes = 0;
    let count = 0;
    for (const row of this.#rows) {
      bytes += rowOverheadBytes + row.attributes.length;
      if (count > 0 && bytes > this.#limits.bytes) return { count, closedBy: 'bytes' };
      count += 1;
      if (count === this.#limits.rows) return { count, closedBy: 'rows' };
    }
    return { count, closedBy: this.#closed ? 'drain' : 'idle' };
  }
}
