import {
  type Acknowledgement,
  type AcknowledgementParts,
  createAcknowledgement,
} from './acknowledgement.ts';
import type { Batcher } from './batcher.ts';
import type { Guard } from './guard.ts';
import { hold } from './held-entry.ts';
import type { InFlight } from './in-flight.ts';
import type { IsolationTurn } from './isolation-turn.ts';
import type { PoisonIsolation } from './poison-isolation.ts';
import type {
  Account,
  Entry,
  EntryId,
  EntryOrigin,
  Interpretation,
  PauseCause,
  ReadingEvents,
} from './types.ts';

/** The parts of one stream's reading side. */
export interface ReadingParts
  extends Pick<AcknowledgementParts, 'acknowledge' | 'moveRound' | 'deadLetterGuard' | 'guard'> {
  /** Null without shards. */
  readonly shard: number | null;
  readonly inFlight: InFlight;
  readonly isolation: PoisonIsolation;
  /**
   * Waits a bounded time for entries; resolves with none when there are none. Calls `beforePending`
   * before it asks for entries that were delivered before.
   * @throws DependencyError
   */
  readonly read: (limit: number, beforePending: () => void) => Promise<readonly Entry[]>;
  /** Decodes and validates; never throws. */
  readonly interpret: (entry: Entry) => Interpretation;
  readonly events: ReadingEvents;
  /** Maximum number of entries in one read. */
  readonly readCount: number;
}

/** What all reading sides of the process share. */
export interface SharedParts {
  readonly account: Account;
  readonly batcher: Batcher;
  readonly databaseGuard: Guard;
  readonly turn: IsolationTurn;
  /** Whether no other side processes an entry. */
  readonly areOthersQuiet: (self: Reading) => boolean;
  /** Aborts when the pipeline stops reading. */
  readonly stopped: AbortSignal;
  /** Aborts when the drain budget is over; entries still in flight stay pending. */
  readonly abandoned: AbortSignal;
  /** A loop met an error that is none of a dependency: a bug. */
  readonly onBroken: (error: unknown) => void;
}

/** Time spent on interpreting entries before the event loop gets a turn. */
const turnMs = 20;

/**
 * Reads one stream, interprets its entries, passes their rows to the shared batcher and acknowledges
 * them. A step that is blocked keeps its entries, the in-flight budget fills, and reading stops.
 */
export class Reading {
  readonly #parts: ReadingParts;
  readonly #shared: SharedParts;
  readonly #acknowledgement: Acknowledgement;
  readonly #origin: EntryOrigin;
  #isPaused = false;
  #isInterpreting = false;
  #recordsRead = 0;
  #loop: Promise<void> | null = null;

  constructor(parts: ReadingParts, shared: SharedParts) {
    this.#parts = parts;
    this.#shared = shared;
    for (const guard of [parts.guard, parts.deadLetterGuard]) {
      guard.onChange(() => parts.inFlight.wake());
    }
    const { abandoned, account, onBroken } = shared;
    this.#acknowledgement = createAcknowledgement({ ...parts, account }, abandoned, onBroken);
    this.#origin = { shard: parts.shard, settled: this.#acknowledgement.add };
  }

  start(): void {
    this.#loop ??= this.#readLoop();
  }

  /** Null without shards. */
  get shard(): number | null {
    return this.#parts.shard;
  }

  /** Whether its Redis or the database is failing; reading pauses until it recovers. */
  get isFailing(): boolean {
    return this.#parts.guard.isFailing || this.#shared.databaseGuard.isFailing;
  }

  /** Whether dead letters cannot be written; reading continues until the in-flight budget is full. */
  get isDeadLetteringBlocked(): boolean {
    return this.#parts.deadLetterGuard.isFailing;
  }

  /** Entries that wait for their dead letter to be written. */
  get deadLettersWaiting(): number {
    return this.#acknowledgement.waiting;
  }

  /** Whether another side processes an entry in isolation, which this one waits for. */
  get isWaitingForIsolation(): boolean {
    return this.#shared.turn.isBlocking(this.#parts.guard);
  }

  /** Whether no entry is being processed: all that is in flight waits for a Redis that is failing. */
  get isQuiet(): boolean {
    return !this.#isInterpreting && this.#parts.inFlight.entries <= this.#acknowledgement.blocked;
  }

  /** Records read since the start. */
  get recordsRead(): number {
    return this.#recordsRead;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Sets the kill switch: reading pauses; entries in flight are still written and acknowledged. */
  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#parts.inFlight.wake();
  }

  /** Acknowledges the entries whose records all have an outcome. */
  acknowledge(): void {
    this.#acknowledgement.run();
  }

  /** Resolves when no entry waits for its acknowledgement. */
  async acknowledged(): Promise<void> {
    await this.#acknowledgement.idle();
  }

  /** Resolves when the loop has ended. Rejects on any error but a DependencyError, which is a bug. */
  async ended(): Promise<void> {
    await this.#loop;
  }

  async #readLoop(): Promise<void> {
    const { guard, inFlight, read, readCount } = this.#parts;
    const { stopped: signal } = this.#shared;
    const beforePending = () => inFlight.rememberReleases();
    while (!signal.aborted) {
      if (this.isWaitingForIsolation) {
        await inFlight.changed();
        continue;
      }
      const cause = this.#pauseCause();
      if (cause !== null) {
        await this.#waitUntilChanged(cause);
        continue;
      }
      const since = performance.now();
      const entries = await guard.untilDone(() => read(readCount, beforePending), signal);
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
    // No wait between this check and the first entry: another side may take the turn at any time.
    while (this.isWaitingForIsolation) {
      // The service stops: these entries stay pending.
      if (this.#shared.stopped.aborted) return;
      await inFlight.changed();
    }
    // Own pending entries are read again after a reconnect, and a slow one may be claimed. Those in
    // flight are skipped, and those that were acknowledged while this reply was on its way.
    const fresh = inFlight.withoutHeld(entries);
    const isolated = fresh.filter((entry) => isolation.needsIsolation(entry));
    const others =
      isolated.length === 0 ? fresh : fresh.filter((entry) => !isolation.needsIsolation(entry));
    events.read(fresh, readMs);
    this.#isInterpreting = true;
    await this.#interpretInTurns(others);
    this.#isInterpreting = false;
    inFlight.wake();
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
    const { guard, inFlight, interpret, isolation } = this.#parts;
    const { turn, areOthersQuiet, stopped: signal, abandoned } = this.#shared;
    const isAlone = () => turn.isHeldBy(guard) && areOthersQuiet(this);
    await isolation.process(
      entry,
      (rejected) => {
        this.#take(entry, rejected ?? interpret(entry));
        this.#passOn();
      },
      {
        inFlight,
        isIdle: () =>
          inFlight.entries <= this.#blockedEntries() && turn.take(guard) && areOthersQuiet(this),
        isAlone,
        isDone: (id: EntryId) => !inFlight.has(id) || this.#acknowledgement.isBlocked(id),
        isFailing: () => this.isFailing,
        signal,
        abandoned,
      },
    );
    turn.release(guard);
    inFlight.wake();
  }

  /** Entries in flight that only wait for a dead letter that cannot be written. */
  #blockedEntries(): number {
    return this.isDeadLetteringBlocked ? this.#acknowledgement.waiting : 0;
  }

  #passOn(): void {
    this.#shared.batcher.offer();
    this.#acknowledgement.run();
  }

  #take(entry: Entry, found: Interpretation): void {
    const held = hold(entry, found, this.#origin);
    this.#parts.inFlight.hold(held);
    this.#shared.account.read(held.records);
    this.#recordsRead += held.records;
    if (found.kind === 'records') {
      for (const position of found.positions) this.#shared.batcher.add(position, held);
      if (found.positions.length > 0) return;
    }
    this.#acknowledgement.add(held);
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
