import type { Batch, BatchClosing, HeldEntry, Position } from './types.ts';

export interface BatchLimits {
  readonly rows: number;
  readonly bytes: number;
}

/** Fixed columns of a row, in bytes; the attributes are counted by their length. */
const rowOverheadBytes = 120;

/**
 * Gathers rows while writers are busy; a free writer takes all that is there, up to the caps.
 * No linger: idle means single rows at once, load means large batches by itself.
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

  /** To be called once after a run of `add`: one wake-up a read, not one a row. */
  offer(): void {
    if (this.#rows.length > 0) this.#waiting.shift()?.();
  }

  /** No more rows come: takers get what is left, then null. */
  close(): void {
    this.#closed = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** The next batch; null once closed and empty. */
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
