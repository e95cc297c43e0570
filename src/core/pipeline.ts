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
import type { Seclusion } from './seclusion.ts';
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

/** What the pipeline is wired to; main.ts passes the rooms in. */
export interface PipelineParts
  extends Pick<AcknowledgementParts, 'acknowledge' | 'moveRound' | 'deadLetterGuard'> {
  readonly account: Account;
  readonly inFlight: InFlight;
  readonly batcher: Batcher;
  readonly states: DeviceStates;
  readonly seclusion: Seclusion;
  readonly guards: Readonly<Record<Dependency, Guard>>;
  /** Blocks for a bounded time; an empty answer is an answer. @throws DependencyError */
  readonly read: (limit: number) => Promise<readonly Entry[]>;
  /** Decodes and validates; never throws. */
  readonly interpret: (entry: Entry) => Interpretation;
  /** @throws DependencyError; what `outcomes` holds by then is durable. */
  readonly write: (rows: readonly Position[], outcomes: Outcomes) => Promise<number>;
  readonly events: PipelineEvents;
  readonly options: PipelineOptions;
}

export interface PipelineOptions {
  readonly writers: number;
  /** Entries asked for in one read. */
  readonly readCount: number;
}

/** Longest time spent on interpreting entries before the event loop gets a turn. */
const turnMs = 20;

/**
 * read ▶ interpret ▶ batch ▶ write ▶ acknowledge. Each step hands on to the next and nothing
 * goes back: a step that cannot go on holds what it has, the in-flight budget fills, and
 * reading stops.
 */
export class Pipeline {
  readonly #parts: PipelineParts;
  /** The drain budget is over: what is held stays pending. */
  readonly #abandoned = new AbortController();
  /** No new reads. */
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
    // Whoever waits for `finished` hears of it; while nobody does it must not end the process.
    this.#broken.promise.catch(() => undefined);
  }

  start(): void {
    if (this.#reader !== null || this.#stopped.signal.aborted) return;
    this.#writers = Array.from({ length: this.#parts.options.writers }, () => this.#writeLoop());
    this.#reader = this.#readLoop();
  }

  /** True while a dependency fails: nothing is read then. */
  get isFailing(): boolean {
    return Object.values(this.#parts.guards).some((guard) => guard.isFailing);
  }

  /** True while dead letters cannot be written; reading goes on until the in-flight budget is full. */
  get isDeadLetteringBlocked(): boolean {
    return this.#parts.deadLetterGuard.isFailing;
  }

  /** Entries whose dead letter is due. */
  get deadLettersWaiting(): number {
    return this.#acknowledgement.waiting;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** The kill switch: nothing is read while it is on; what is held is written and acknowledged. */
  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#parts.inFlight.wake();
  }

  /** Rejects when a loop meets an error that is none of a dependency: a bug. */
  async finished(): Promise<void> {
    const loops = Promise.all([this.#reader, ...this.#writers]);
    await Promise.race([loops, this.#broken.promise]);
  }

  /**
   * No new reads; what is held is written and acknowledged. Resolves true when everything was,
   * false when `budgetMs` ran out first: the rest stays pending in the group.
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
    const { guards, read, options } = this.#parts;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const cause = this.#pauseCause();
      if (cause !== null) {
        await this.#waitForRoom(cause);
        continue;
      }
      const since = performance.now();
      const entries = await guards.redis.untilDone(() => read(options.readCount), signal);
      if (entries === null || entries.length === 0) continue;
      await this.#accept(entries, performance.now() - since);
    }
  }

  #pauseCause(): PauseCause | null {
    if (this.#parts.inFlight.isFull) return 'buffer';
    if (this.isFailing) return 'dependency';
    return this.#isPaused ? 'kill_switch' : null;
  }

  async #waitForRoom(cause: PauseCause): Promise<void> {
    const since = performance.now();
    await this.#parts.inFlight.changed();
    this.#parts.events.paused(cause, performance.now() - since);
  }

  /** Interprets what was read and hands it on; the stages behind run while we wait for more. */
  async #accept(entries: readonly Entry[], readMs: number): Promise<void> {
    const { inFlight, seclusion, events } = this.#parts;
    // Our own pending entries are read again after a reconnect; what we hold is under way.
    const fresh = entries.filter((entry) => !inFlight.has(entry.id));
    const suspects = fresh.filter((entry) => seclusion.isSuspect(entry));
    events.read(fresh, readMs);
    await this.#interpretInTurns(fresh.filter((entry) => !seclusion.isSuspect(entry)));
    for (const suspect of suspects) await this.#tryAlone(suspect);
    // Replies of other connections get their turn between two large reads.
    await setImmediateTurn();
  }

  /**
   * Interprets in turns of the event loop of at most `turnMs` each (one entry may take longer), so
   * that health probes and the replies of other connections are served during a read of costly entries.
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
      this.#handOn();
      await setImmediateTurn();
      since = performance.now();
      inTurn = 0;
    }
    events.interpreted(performance.now() - since, inTurn);
    this.#handOn();
  }

  /** What the stop leaves untried stays pending. */
  async #tryAlone(entry: Entry): Promise<void> {
    const { inFlight, interpret, seclusion } = this.#parts;
    const { signal } = this.#stopped;
    await seclusion.tryAlone(
      entry,
      (rejected) => {
        this.#take(entry, rejected ?? interpret(entry));
        this.#handOn();
      },
      {
        inFlight,
        isAlone: () => inFlight.entries <= this.#blockedEntries(),
        isDone: (id) => !inFlight.has(id) || this.#acknowledgement.isBlocked(id),
        isFailing: () => this.isFailing,
        signal,
        abandoned: this.#abandoned.signal,
      },
    );
  }

  /** Entries that only wait until their dead letters can be written. */
  #blockedEntries(): number {
    return this.isDeadLetteringBlocked ? this.#acknowledgement.waiting : 0;
  }

  #handOn(): void {
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

  /** Holds on to a batch until it is durable, or the drain budget is over. */
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
    batch.rows.forEach((row, place) => {
      const outcome = outcomes[place];
      const held = batch.owners[place];
      if (outcome === null || outcome === undefined || held === undefined) return;
      if (outcome === 'inserted' || outcome === 'duplicate') {
        counts[outcome] += 1;
        stored.push(row);
        held.open -= 1;
      } else {
        held.rejections.push(rejectionOf(row, outcome));
      }
      // Rejected records stay open until the letter is written, with the acknowledgement.
      if (held.open === held.rejections.length) this.#acknowledgement.add(held);
    });
    account.settle('inserted', counts.inserted);
    account.settle('duplicate', counts.duplicate);
    events.late(states.apply(stored));
    this.#acknowledgement.run();
  }
}

function setImmediateTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
