import { setTimeout } from 'node:timers/promises';
import type { Account } from './account.ts';
import type { Batcher } from './batcher.ts';
import type { DeviceStates } from './device-state.ts';
import type { InFlight } from './in-flight.ts';
import {
  type Batch,
  DependencyError,
  type Entry,
  type HeldEntry,
  type Interpretation,
  type Outcomes,
  type PipelineEvents,
  type Position,
  type Rejection,
  type WriteReason,
} from './types.ts';

/** What the pipeline is wired to; main.ts passes the rooms in. */
export interface PipelineParts {
  readonly account: Account;
  readonly inFlight: InFlight;
  readonly batcher: Batcher;
  readonly states: DeviceStates;
  /** Blocks for a bounded time; an empty answer is an answer. @throws DependencyError */
  readonly read: (limit: number) => Promise<readonly Entry[]>;
  /** Decodes and validates; never throws. */
  readonly interpret: (entry: Entry) => Interpretation;
  /** @throws DependencyError; what `outcomes` holds by then is durable. */
  readonly write: (rows: readonly Position[], outcomes: Outcomes) => Promise<number>;
  /** Acknowledges entries, and moves those with rejections to the dead-letter stream. @throws DependencyError */
  readonly acknowledge: (entries: readonly HeldEntry[]) => Promise<void>;
  readonly events: PipelineEvents;
  readonly options: PipelineOptions;
}

export interface PipelineOptions {
  readonly writers: number;
  /** Entries asked for in one read. */
  readonly readCount: number;
  /** First and longest pause before a dependency is tried again. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/**
 * read ▶ interpret ▶ batch ▶ write ▶ acknowledge. Each step hands on to the next and nothing
 * goes back: a step that cannot go on holds what it has, the in-flight budget fills, and
 * reading stops.
 */
export class Pipeline {
  readonly #parts: PipelineParts;
  readonly #abandoned = new AbortController();
  readonly #ready: HeldEntry[] = [];
  readonly #broken = Promise.withResolvers<never>();
  #acknowledging: Promise<void> | null = null;
  #failing = 0;
  #reading = true;
  #reader: Promise<void> | null = null;
  #writers: Promise<void>[] = [];

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    // Whoever waits for `finished` hears of it; while nobody does it must not end the process.
    this.#broken.promise.catch(() => undefined);
  }

  start(): void {
    if (this.#reader !== null || !this.#reading) return;
    this.#writers = Array.from({ length: this.#parts.options.writers }, () => this.#writeLoop());
    this.#reader = this.#readLoop();
  }

  /** True while a dependency fails: nothing is read then. */
  get isFailing(): boolean {
    return this.#failing > 0;
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
    this.#reading = false;
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
    while (this.#acknowledging !== null) await this.#acknowledging;
  }

  async #readLoop(): Promise<void> {
    const { inFlight, read, events, options } = this.#parts;
    let attempt = 0;
    while (this.#reading) {
      if (inFlight.isFull || this.#failing > 0) {
        await this.#waitForRoom(inFlight.isFull ? 'buffer' : 'dependency');
        continue;
      }
      try {
        const entries = await read(options.readCount);
        if (attempt > 0) events.recovered('redis');
        attempt = 0;
        if (entries.length > 0) await this.#accept(entries);
      } catch (error) {
        attempt += 1;
        await this.#pauseAfter(error, attempt);
      }
    }
  }

  async #waitForRoom(cause: 'buffer' | 'dependency'): Promise<void> {
    const since = performance.now();
    await this.#parts.inFlight.changed();
    this.#parts.events.paused(cause, performance.now() - since);
  }

  /** Interprets what was read and hands it on; the stages behind run while we wait for more. */
  async #accept(entries: readonly Entry[]): Promise<void> {
    const { inFlight, interpret, batcher, events } = this.#parts;
    const since = performance.now();
    events.read(entries);
    for (const entry of entries) {
      // Our own pending entries are read again after a reconnect; what we hold is under way.
      if (inFlight.has(entry.id)) continue;
      this.#take(entry, interpret(entry));
    }
    events.interpreted(performance.now() - since, entries.length);
    batcher.offer();
    this.#acknowledgeReady();
    // Replies of other connections get their turn between two large reads.
    await setImmediateTurn();
  }

  #take(entry: Entry, found: Interpretation): void {
    const held = hold(entry, found);
    this.#parts.inFlight.hold(held);
    this.#parts.account.read(held.records);
    if (found.kind === 'records') {
      for (const position of found.positions) this.#parts.batcher.add(position, held);
      if (found.positions.length > 0) return;
    }
    this.#ready.push(held);
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
    const { states, write, events } = this.#parts;
    const outcomes: Outcomes = batch.rows.map(() => null);
    const written = await this.#untilDone(async () => {
      await states.warm(batch.rows);
      const since = performance.now();
      const statements = await write(batch.rows, outcomes);
      events.batch(batch, outcomes, performance.now() - since, statements);
    });
    if (written) this.#settle(batch, outcomes);
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
      if (held.open === held.rejections.length) this.#ready.push(held);
    });
    account.settle('inserted', counts.inserted);
    account.settle('duplicate', counts.duplicate);
    events.late(states.apply(stored));
    this.#acknowledgeReady();
  }

  /** One acknowledgement at a time: what completes meanwhile goes with the next. */
  #acknowledgeReady(): void {
    if (this.#acknowledging !== null || this.#ready.length === 0) return;
    const entries = this.#ready.splice(0);
    this.#acknowledging = this.#acknowledge(entries).then(
      () => {
        this.#acknowledging = null;
        if (!this.#abandoned.signal.aborted) this.#acknowledgeReady();
      },
      (error: unknown) => {
        this.#acknowledging = null;
        this.#broken.reject(error);
      },
    );
  }

  async #acknowledge(entries: readonly HeldEntry[]): Promise<void> {
    const { acknowledge, inFlight, events } = this.#parts;
    const since = performance.now();
    if (!(await this.#untilDone(() => acknowledge(entries)))) return;
    for (const held of entries) {
      this.#settleAcknowledged(held);
      inFlight.release(held);
    }
    events.acknowledged(entries, performance.now() - since);
  }

  #settleAcknowledged(held: HeldEntry): void {
    const { account, events } = this.#parts;
    if (held.isMessage) account.settle('message', 1);
    for (const rejection of held.rejections) {
      account.settle(rejection.stage === 'conflict' ? 'conflict' : 'dead_letter', 1);
    }
    if (held.rejections.length > 0) events.rejected(held);
    held.open = 0;
  }

  /**
   * Tries until it works, with growing pauses; nothing is read from the first failure to the
   * success after it. @returns false when the stop came first
   */
  async #untilDone(work: () => Promise<void>): Promise<boolean> {
    let failure: DependencyError | null = null;
    try {
      for (let attempt = 1; !this.#abandoned.signal.aborted; attempt += 1) {
        try {
          await work();
          if (failure !== null) this.#parts.events.recovered(failure.dependency);
          return true;
        } catch (error) {
          if (!(error instanceof DependencyError)) throw error;
          if (failure === null) this.#failing += 1;
          failure = error;
          await this.#pauseAfter(error, attempt);
        }
      }
      return false;
    } finally {
      if (failure !== null) this.#failing -= 1;
      if (this.#failing === 0) this.#parts.inFlight.wake();
    }
  }

  /** Waits before the next attempt; an error that is none of a dependency goes up. */
  async #pauseAfter(error: unknown, attempt: number): Promise<void> {
    if (!(error instanceof DependencyError)) throw error;
    this.#parts.events.failed(error, attempt);
    const { retryMinMs, retryMaxMs } = this.#parts.options;
    const pauseMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(attempt - 1, 16));
    const jittered = pauseMs * (0.5 + Math.random());
    await setTimeout(jittered, undefined, { signal: this.#abandoned.signal }).catch(
      () => undefined,
    );
  }
}

function setImmediateTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function hold(entry: Entry, found: Interpretation): HeldEntry {
  switch (found.kind) {
    case 'records': {
      const records = found.positions.length + found.rejections.length;
      const rejections = [...found.rejections];
      return { entry, records, open: records, rejections, isMessage: false };
    }
    case 'message':
      return { entry, records: 1, open: 1, rejections: [], isMessage: true };
    case 'rejected':
      return { entry, records: 1, open: 1, rejections: [found.rejection], isMessage: false };
  }
}

function rejectionOf(
  row: Position,
  outcome: 'conflict' | { reason: WriteReason; message: string },
): Rejection {
  const base = { recordIndex: row.recordIndex, offset: null };
  if (outcome === 'conflict') {
    const message = 'the stored row under this key has other content; the first version stays';
    return { ...base, stage: 'conflict', reason: 'conflict', message };
  }
  return { ...base, stage: 'write', reason: outcome.reason, message: outcome.message };
}
