import { setTimeout } from 'node:timers/promises';
import {
  type Acknowledgement,
  type AcknowledgementParts,
  createAcknowledgement,
} from './acknowledgement.ts';
import type { Batcher } from './batcher.ts';
import type { DeviceStates } from './device-state.ts';
import type { Guard } from './guard.ts';
import { hold, rejectionOf } from './held-entry.ts';
import type { InFlight } from './in-flight.ts';
import type { PoisonIsolation } from './poison-isolation.ts';

import type {
  Account,
  Batch,
  Dependency,
  Entry,
  Interpretation,
  Outcomes,
  PauseCause,
  PipelineEvents,
  Position,
} from './types.ts';

/** The parts that the pipeline drives; src/service/parts.ts passes them in. */
export interface PipelineParts
  extends Pick<AcknowledgementParts, 'acknowledge' | 'moveRound' | 'deadLetterGuard'> {
  readonly account: Account;
  readonly inFlight: InFlight;
  readonly batcher: Batcher;
  readonly states: DeviceStates;
  readonly isolation: PoisonIsolation;
  readonly guards: Readonly<Record<Dependency, Guard>>;
  /**
   * Waits a bounded time for entries; resolves with none when there are none. Calls `beforePending`
   * before it asks for entries that were delivered before.
   * @throws DependencyError
   */
  readonly read: (limit: number, beforePending: () => void) => Promise<readonly Entry[]>;
  /** Decodes and validates; never throws. */
  readonly interpret: (entry: Entry) => Interpretation;
  /** Stores rows and sets `outcomes`; those set are durable, also if it throws a DependencyError. */
  readonly write: (rows: readonly Position[], outcomes: Outcomes) => Promise<number>;
  readonly events: PipelineEvents;
  readonly options: PipelineOptions;
}

export interface PipelineOptions {
  readonly writers: number;
  /** Maximum number of entries in one read. */
  readonly readCount: number;
}

/** Time spent on interpreting entries before the event loop gets a turn. */
const turnMs = 20;

/**
 * Moves entries through read ▶ interpret ▶ batch ▶ write ▶ acknowledge. Entries only move forward:
 * a step that is blocked keeps its entries, the in-flight budget fills, and reading stops.
 */
export class Pipeline {
  readonly #parts: PipelineParts;
  /** Aborts when the drain budget is over; entries still in flight stay pending. */
  readonly #abandoned = new AbortController();
  /** Aborts when the pipeline stops reading. */
  readonly #stopped = new AbortController();
  readonly #acknowledgement: Acknowledgement;
  readonly #broken = Promise.withResolvers<never>();
  #isPaused = false;
  #reader: Promise<void> | null = null;
  #writers: Promise<void>[] = [];

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    for (const guard of [...Object.values(parts.guards), parts.deadLetterGuard]) {
      guard.onChange(() => parts.inFlight.wake());
    }
    this.#acknowledgement = createAcknowledgement(
      { ...parts, guard: parts.guards.redis },
      this.#abandoned.signal,
      (error) => this.#broken.reject(error),
    );
    // `finished()` reports the rejection; until it is called, Node must not end the process.
    this.#broken.promise.catch(() => undefined);
  }

  start(): void {
    if (this.#reader !== null || this.#stopped.signal.aborted) return;
    this.#writers = Array.from({ length: this.#parts.options.writers }, () => this.#writeLoop());
    this.#reader = this.#readLoop();
  }

  /** Whether a dependency is failing; reading pauses until it recovers. */
  get isFailing(): boolean {
    return Object.values(this.#parts.guards).some((guard) => guard.isFailing);
  }

  /** Whether dead letters cannot be written; reading continues until the in-flight budget is full. */
  get isDeadLetteringBlocked(): boolean {
    return this.#parts.deadLetterGuard.isFailing;
  }

  /** Entries that wait for their dead letter to be written. */
  get deadLettersWaiting(): number {
    return this.#acknowledgement.waiting;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Sets the kill switch: reading pauses; entries in flight are still written and acknowledged. */
  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#parts.inFlight.wake();
  }

  /** Resolves when all loops have ended. Rejects if one throws anything but a DependencyError, which is a bug. */
  async finished(): Promise<void> {
    const loops = Promise.all([this.#reader, ...this.#writers]);
    await Promise.race([loops, this.#broken.promise]);
  }

  /**
   * Stops reading, then writes and acknowledges the entries in flight. Resolves with false when
   * `budgetMs` runs out first: the other entries stay pending in the group.
   */
  async drain(budgetMs: number): Promise<boolean> {
    this.#stopped.abort();
    this.#parts.inFlight.wake();
    const overrun = setTimeout(budgetMs, false, { ref: false });
    const drained = await Promise.race([this.#drainAll().then(() => true), overrun]);
    if (!drained) this.#abandoned.abort();
    return drained && this.#parts.inFlight.entries === 0;
  }

  async #drainAll(): Promise<void> {
    await this.#reader;
    this.#parts.batcher.close();
    await Promise.all(this.#writers);
    await this.#acknowledgement.idle();
  }

  async #readLoop(): Promise<void> {
    const { guards, inFlight, read, options } = this.#parts;
    const { signal } = this.#stopped;
    const beforePending = () => inFlight.rememberReleases();
    while (!signal.aborted) {
      const cause = this.#pauseCause();
      if (cause !== null) {
        await this.#waitUntilChanged(cause);
        continue;
      }
      const since = performance.now();
      const entries = await guards.redis.untilDone(
        () => read(options.readCount, beforePending),
        signal,
      );
      if (entries !== null && entries.length > 0) {
        await this.#accept(entries, performance.now() - since);
      }
      inFlight.forgetReleases();
    }
  }

  #pauseCause(): PauseCause | null {
    if (this.#parts.inFlight.isFull) return 'buffer';
    if (this.isFailing) return 'dependency';
    return this.#isPaused ? 'kill_switch' : null;
  }

  async #waitUntilChanged(cause: PauseCause): Promise<void> {
    const since = performance.now();
    await this.#parts.inFlight.changed();
    this.#parts.events.paused(cause, performance.now() - since);
  }

  /** Interprets entries and passes them on; writers and acknowledgement run during the next read. */
  async #accept(entries: readonly Entry[], readMs: number): Promise<void> {
    const { inFlight, isolation, events } = this.#parts;
    // Own pending entries are read again after a reconnect, and a slow one may be claimed. Those in
    // flight are skipped, and those that were acknowledged while this reply was on its way. A new one
    // is never skipped: a group that is moved back delivers entries again.
    const fresh = entries.filter(
      ({ id, source }) => !inFlight.has(id) && (source === 'new' || !inFlight.wasReleased(id)),
    );
    const isolated = fresh.filter((entry) => isolation.needsIsolation(entry));
    events.read(fresh, readMs);
    await this.#interpretInTurns(fresh.filter((entry) => !isolation.needsIsolation(entry)));
    for (const entry of isolated) await this.#processInIsolation(entry);
    // Replies of other connections are handled between two large reads.
    await nextTurn();
  }

  /**
   * Interprets entries for at most `turnMs` at a time (one entry may take longer), so that the event
   * loop also serves health probes and the replies of other connections.
   */
  async #interpretInTurns(entries: readonly Entry[]): Promise<void> {
    const { interpret, events } = this.#parts;
    let since = performance.now();
    let inTurn = 0;
    for (const entry of entries) {
      this.#take(entry, interpret(entry));
      inTurn += 1;
      if (performance.now() - since < turnMs) continue;
      events.interpreted(performance.now() - since, inTurn);
      this.#passOn();
      await nextTurn();
      since = performance.now();
      inTurn = 0;
    }
    events.interpreted(performance.now() - since, inTurn);
    this.#passOn();
  }

  /** Does nothing once the pipeline stops; the entry then stays pending. */
  async #processInIsolation(entry: Entry): Promise<void> {
    const { inFlight, interpret, isolation } = this.#parts;
    const { signal } = this.#stopped;
    await isolation.process(
      entry,
      (rejected) => {
        this.#take(entry, rejected ?? interpret(entry));
        this.#passOn();
      },
      {
        inFlight,
        isIdle: () => inFlight.entries <= this.#blockedEntries(),
        isDone: (id) => !inFlight.has(id) || this.#acknowledgement.isBlocked(id),
        isFailing: () => this.isFailing,
        signal,
        abandoned: this.#abandoned.signal,
      },
    );
  }

  /** Entries in flight that only wait for a dead letter that cannot be written. */
  #blockedEntries(): number {
    return this.isDeadLetteringBlocked ? this.#acknowledgement.waiting : 0;
  }

  #passOn(): void {
    this.#parts.batcher.offer();
    this.#acknowledgement.run();
  }

  #take(entry: Entry, found: Interpretation): void {
    const held = hold(entry, found);
    this.#parts.inFlight.hold(held);
    this.#parts.account.read(held.records);
    if (found.kind === 'records') {
      for (const position of found.positions) this.#parts.batcher.add(position, held);
      if (found.positions.length > 0) return;
    }
    this.#acknowledgement.add(held);
  }

  async #writeLoop(): Promise<void> {
    const { batcher } = this.#parts;
    for (let batch = await batcher.take(); batch !== null; batch = await batcher.take()) {
      await this.#writeBatch(batch);
      if (this.#abandoned.signal.aborted) return;
    }
  }

  /** Retries a batch until every row has a durable outcome or the drain budget is over. */
  async #writeBatch(batch: Batch): Promise<void> {
    const { guards, states, write, events } = this.#parts;
    const outcomes: Outcomes = batch.rows.map(() => null);
    const written = await guards.database.untilDone(
      async () => {
        await states.warm(batch.rows);
        const since = performance.now();
        const statements = await write(batch.rows, outcomes);
        events.batch(batch, outcomes, performance.now() - since, statements);
        return true;
      },
      this.#abandoned.signal,
      { batch_id: batch.id },
    );
    if (written !== null) this.#settle(batch, outcomes);
  }

  #settle(batch: Batch, outcomes: Outcomes): void {
    const { account, states, events } = this.#parts;
    const counts = { inserted: 0, duplicate: 0 };
    const stored: Position[] = [];
    batch.rows.forEach((row, index) => {
      const outcome = outcomes[index];
      const held = batch.owners[index];
      if (outcome === null || outcome === undefined || held === undefined) return;
      if (outcome === 'inserted' || outcome === 'duplicate') {
        counts[outcome] += 1;
        stored.push(row);
        held.open -= 1;
      } else {
        held.rejections.push(rejectionOf(row, outcome));
      }
      // Rejected records stay open until the dead letter is written, with the acknowledgement.
      if (held.open === held.rejections.length) this.#acknowledgement.add(held);
    });
    account.settle('inserted', counts.inserted);
    account.settle('duplicate', counts.duplicate);
    events.late(states.apply(stored));
    this.#acknowledgement.run();
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
