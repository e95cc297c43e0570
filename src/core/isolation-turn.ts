import type { Guard } from './guard.ts';

/**
 * The right to process an entry in isolation; one reading side of the process has it at a time, and
 * the others neither read nor interpret meanwhile. A side is known by the guard of its Redis: while
 * that fails, the side makes no progress and must not block the others, which may take the turn.
 */
export class IsolationTurn {
  #holder: Guard | null = null;

  /** Tries to take the turn. @returns whether this side has it */
  take(side: Guard): boolean {
    const isFree = this.#holder === null || this.#holder.isFailing;
    if (isFree && !side.isFailing) this.#holder = side;
    return this.isHeldBy(side);
  }

  isHeldBy(side: Guard): boolean {
    return this.#holder === side;
  }

  release(side: Guard): void {
    if (this.#holder === side) this.#holder = null;
  }

  /** Whether another side has the turn and can use it. */
  isBlocking(side: Guard): boolean {
    return this.#holder !== null && this.#holder !== side && !this.#holder.isFailing;
  }
}
