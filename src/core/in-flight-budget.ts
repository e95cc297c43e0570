/** An amount of records and their bytes. */
export interface Amount {
  readonly records: number;
  readonly bytes: number;
}

/**
 * The limits on what is read and not yet acknowledged, for the whole process. Each of several reading
 * sides has a reserve of its own, and all share the rest: entries that one side cannot acknowledge,
 * because its node is away, take the shared part at most, and the other sides keep reading.
 */
export class InFlightBudget {
  /** What one side may hold whatever the others do; nothing if there is no other. */
  readonly reserve: Amount;
  /** The limit of what sides hold beyond their reserves. */
  readonly shared: Amount;
  /** What sides hold beyond their reserves. */
  readonly used = { records: 0, bytes: 0 };
  #waiting: (() => void)[] = [];

  constructor(limits: Amount, sides: number) {
    const shared = sides === 1 ? 1 : 0.5;
    this.shared = times(limits, shared);
    this.reserve = times(limits, (1 - shared) / sides);
  }

  /** Resolves on the next `wake()`. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function times({ records, bytes }: Amount, share: number): Amount {
  return { records: records * share, bytes: bytes * share };
}
