import { setTimeout } from 'node:timers/promises';
import { IsolationTurn } from './isolation-turn.ts';
import { Reading, type ReadingParts } from './reading.ts';
import { createWriting, type Writing, type WritingParts } from './writing.ts';

/** The parts that the pipeline drives; src/service/parts.ts passes them in. */
export interface PipelineParts extends WritingParts {
  /** One for each stream that is read. */
  readonly readings: readonly ReadingParts[];
}

/**
 * Moves entries through read ▶ interpret ▶ batch ▶ write ▶ acknowledge: one reading side for each
 * stream and one writing side for all. Entries only move forward: a step that is blocked keeps its
 * entries, the in-flight budget fills, and reading stops.
 */
export class Pipeline {
  readonly #readings: readonly Reading[];
  readonly #writing: Writing;
  readonly #inFlight: readonly ReadingParts['inFlight'][];
  /** Aborts when the drain budget is over; entries still in flight stay pending. */
  readonly #abandoned = new AbortController();
  /** Aborts when the pipeline stops reading. */
  readonly #stopped = new AbortController();
  readonly #broken = Promise.withResolvers<never>();
  #isStarted = false;

  constructor(parts: PipelineParts) {
    const { account, batcher, databaseGuard } = parts;
    const shared = {
      account,
      batcher,
      databaseGuard,
      turn: new IsolationTurn(),
      areOthersQuiet: (self: Reading) =>
        this.#readings.every((reading) => reading === self || reading.isQuiet),
      stopped: this.#stopped.signal,
      abandoned: this.#abandoned.signal,
      onBroken: (error: unknown) => this.#broken.reject(error),
    };
    this.#readings = parts.readings.map((reading) => new Reading(reading, shared));
    this.#inFlight = parts.readings.map(({ inFlight }) => inFlight);
    this.#writing = createWriting(parts, this.#abandoned.signal, () => {
      for (const reading of this.#readings) reading.acknowledge();
    });
    databaseGuard.onChange(() => this.#wake());
    // `finished()` reports the rejection; until it is called, Node must not end the process.
    this.#broken.promise.catch(() => undefined);
  }

  start(): void {
    if (this.#isStarted || this.#stopped.signal.aborted) return;
    this.#isStarted = true;
    this.#writing.start();
    for (const reading of this.#readings) reading.start();
  }

  /** One for each stream, in the order of the parts. */
  get readings(): readonly Reading[] {
    return this.#readings;
  }

  /** Resolves when all loops have ended. Rejects if one throws anything but a DependencyError, which is a bug. */
  async finished(): Promise<void> {
    const loops = Promise.all([this.#writing.ended(), ...this.#readings.map((one) => one.ended())]);
    await Promise.race([loops, this.#broken.promise]);
  }

  /**
   * Stops reading, then writes and acknowledges the entries in flight. Resolves with false when
   * `budgetMs` runs out first: the other entries stay pending in the group.
   */
  async drain(budgetMs: number): Promise<boolean> {
    this.#stopped.abort();
    this.#wake();
    const overrun = setTimeout(budgetMs, false, { ref: false });
    const drained = await Promise.race([this.#drainAll().then(() => true), overrun]);
    if (!drained) this.#abandoned.abort();
    return drained && this.#inFlight.every(({ entries }) => entries === 0);
  }

  async #drainAll(): Promise<void> {
    await Promise.all(this.#readings.map((reading) => reading.ended()));
    await this.#writing.finish();
    await Promise.all(this.#readings.map((reading) => reading.acknowledged()));
  }

  #wake(): void {
    for (const inFlight of this.#inFlight) inFlight.wake();
  }
}
