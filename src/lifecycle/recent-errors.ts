/** A recent failure, as the dump of a panic contains it. */
export interface RecentError {
  readonly at: string;
  readonly code: string;
  readonly message: string;
}

export interface RecentErrors {
  /** @param message must be scrubbed */
  add(code: string, message: string): void;
  /** Oldest first. */
  list(): readonly RecentError[];
}

/** Keeps the last `limit` failures. */
export function createRecentErrors(limit: number): RecentErrors {
  let kept: RecentError[] = [];
  return {
    add(code, message) {
      kept = [...kept, { at: new Date().toISOString(), code, message }].slice(-limit);
    },
    list: () => kept,
  };
}
