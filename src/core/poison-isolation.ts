import type { Guard } from './guard.ts';
import type { InFlight } from './in-flight.ts';
import {
  DependencyError,
  type Entry,
  type EntryId,
  type Interpretation,
  type ReadingEvents,
} from './types.ts';

export interface PoisonIsolationOptions {
  /** An entry delivered more often than this is processed in isolation. */
  readonly maxDeliveries: number;
  readonly guard: Guard;
  /**
   * Increments the entry's crash count in Redis before the entry is processed.
   * @returns the count, this attempt included
   */
  readonly increment: (id: EntryId) => Promise<number>;
  /** Removes the entry's crash count, because the process survived the attempt. */
  readonly clear: (id: EntryId) => Promise<void>;
  readonly events: Pick<ReadingEvents, 'isolated'>;
}

/** The parts of the pipeline that processing in isolation waits for. */
interface PipelineState {
  readonly inFlight: InFlight;
  /**
   * Takes the turn, during which no other stream reads. Returns whether nothing is in flight except
   * entries that wait for a Redis that is failing.
   */
  readonly isIdle: () => boolean;
  /** The turn is still held, and no other stream has processed an entry meanwhile. */
  readonly isAlone: () => boolean;
  /** The entry is acknowledged, or only its dead letter remains and cannot be written. */
  readonly isDone: (id: EntryId) => boolean;
  readonly isFailing: () => boolean;
  /** Aborts when no further entry may be started. */
  readonly signal: AbortSignal;
  /** Aborts when the drain budget is over and nothing is waited for. */
  readonly abandoned: AbortSignal;
}

/**
 * Crashes in isolation before an entry is dead-lettered; more than one, because one may be an
 * unrelated kill -9.
 */
const maxCrashes = 3;

export interface PoisonIsolation {
  needsIsolation(entry: Entry): boolean;
  /**
   * Waits until nothing else is in flight, calls `take`, and waits until the entry is done.
   * `take` gets a rejection when the entry has crashed the process too often, otherwise null.
   */
  process(
    entry: Entry,
    take: (rejected: Interpretation | null) => void,
    pipeline: PipelineState,
  ): Promise<void>;
}

/**
 * Processes an entry with a high delivery count while nothing else is in flight. Such an entry was
 * read by a process that ended, several times, but another entry of the same read may have caused
 * that. A crash count in Redis, incremented before the entry is processed and removed after it,
 * outlives the process; an entry that crashed it three times in isolation is dead-lettered. A
 * failing dependency is not a crash, so the count is removed then as well.
 */
export function createPoisonIsolation(options: PoisonIsolationOptions): PoisonIsolation {
  const { guard, increment, clear, events } = options;

  async function wait(until: () => boolean, signal: AbortSignal, inFlight: InFlight) {
    const wake = () => inFlight.wake();
    signal.addEventListener('abort', wake);
    while (!until() && !signal.aborted) await inFlight.changed();
    signal.removeEventListener('abort', wake);
  }

  /** Returns false when Redis fails; the count is then removed once the entry is done. */
  async function tryToClear(id: EntryId): Promise<boolean> {
    try {
      await clear(id);
      return true;
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
      return false;
    }
  }

  /**
   * Waits until nothing else is in flight, and counts the attempt.
   * @returns the count; null if no further entry may be started
   */
  async function begin(id: EntryId, pipeline: PipelineState): Promise<number | null> {
    const { inFlight, isIdle, isAlone, signal } = pipeline;
    for (;;) {
      await wait(isIdle, signal, inFlight);
      const attempt = await guard.untilDone(() => increment(id), signal);
      if (attempt === null) return null;
      if (isAlone() && !signal.aborted) return attempt;
      // Redis failed meanwhile, and another stream went on: a crash would prove nothing.
      if (signal.aborted) await tryToClear(id);
      else await guard.untilDone(() => clear(id).then(() => true), signal);
      if (signal.aborted) return null;
    }
  }

  return {
    needsIsolation: ({ deliveries }) => deliveries > options.maxDeliveries,
    async process(entry, take, pipeline) {
      const { inFlight, isDone, isFailing, abandoned } = pipeline;
      const { id } = entry;
      const attempt = await begin(id, pipeline);
      if (attempt === null) return;
      events.isolated(entry, attempt);
      take(attempt > maxCrashes ? deliveriesExhausted(entry) : null);
      await wait(() => isDone(id) || isFailing(), abandoned, inFlight);
      const isCleared = await tryToClear(id);
      await wait(() => isDone(id), abandoned, inFlight);
      if (!isCleared) await guard.untilDone(() => clear(id).then(() => true), abandoned);
    },
  };
}

function deliveriesExhausted({ deliveries }: Entry): Interpretation {
  return {
    kind: 'rejected',
    rejection: {
      stage: 'decode',
      reason: 'deliveries_exhausted',
      message: `delivered ${deliveries} times; the process crashed ${maxCrashes} times while it processed only this entry`,
      recordIndex: null,
      offset: null,
    },
  };
}
