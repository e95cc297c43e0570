import type { Guard } from './guard.ts';
import type { InFlight } from './in-flight.ts';
import {
  DependencyError,
  type Entry,
  type EntryId,
  type Interpretation,
  type PipelineEvents,
} from './types.ts';

export interface SeclusionOptions {
  /** An entry delivered more often than this is tried with nothing beside it. */
  readonly maxDeliveries: number;
  readonly guard: Guard;
  /** Notes a try in Redis before it begins. @returns how many there were, this one included */
  readonly enter: (id: EntryId) => Promise<number>;
  /** Takes the note away: the try was survived. */
  readonly leave: (id: EntryId) => Promise<void>;
  readonly events: Pick<PipelineEvents, 'triedAlone'>;
}

/** The parts of the pipeline that a try waits for. */
interface Surroundings {
  readonly inFlight: InFlight;
  /** Nothing is in flight but entries whose dead letters cannot be written. */
  readonly isAlone: () => boolean;
  /** The entry is acknowledged, or only its dead letter is left to write and cannot be written. */
  readonly isDone: (id: EntryId) => boolean;
  readonly isFailing: () => boolean;
  /** No new tries. */
  readonly signal: AbortSignal;
  /** No more waiting for a try under way. */
  readonly abandoned: AbortSignal;
}

/** Deaths in tries of one entry alone that condemn it; one could be an operator's kill -9. */
const maxTriesAlone = 3;

export interface Seclusion {
  isSuspect(entry: Entry): boolean;
  /**
   * Waits until nothing else is in flight, takes the entry and waits until it is done.
   * `take` gets the rejection of an entry whose tries alone were never survived.
   */
  tryAlone(
    entry: Entry,
    take: (rejected: Interpretation | null) => void,
    around: Surroundings,
  ): Promise<void>;
}

/**
 * What a high delivery count means: the process died with the entry in its hands, again and
 * again, yet perhaps because of a neighbour in the same read. So it is tried alone, under a mark
 * that outlives the process; only an entry that was itself the last thing tried, three times, is
 * condemned. A failing dependency is no death: the mark is taken away.
 */
export function createSeclusion(options: SeclusionOptions): Seclusion {
  const { guard, enter, leave, events } = options;

  async function wait(until: () => boolean, signal: AbortSignal, inFlight: InFlight) {
    const wake = () => inFlight.wake();
    signal.addEventListener('abort', wake);
    while (!until() && !signal.aborted) await inFlight.changed();
    signal.removeEventListener('abort', wake);
  }

  /** Taken away at the first failure; when Redis itself fails, the mark stays until the end. */
  async function unmark(id: EntryId): Promise<boolean> {
    try {
      await leave(id);
      return true;
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
      return false;
    }
  }

  return {
    isSuspect: ({ deliveries }) => deliveries > options.maxDeliveries,
    async tryAlone(entry, take, { inFlight, isAlone, isDone, isFailing, signal, abandoned }) {
      await wait(isAlone, signal, inFlight);
      const tries = await guard.untilDone(() => enter(entry.id), signal);
      if (tries === null || signal.aborted) {
        if (tries !== null) await unmark(entry.id);
        return;
      }
      events.triedAlone(entry, tries);
      take(tries > maxTriesAlone ? exhausted(entry) : null);
      await wait(() => isDone(entry.id) || isFailing(), abandoned, inFlight);
      const unmarked = await unmark(entry.id);
      await wait(() => isDone(entry.id), abandoned, inFlight);
      if (!unmarked) await guard.untilDone(() => leave(entry.id).then(() => true), abandoned);
    },
  };
}

function exhausted({ deliveries }: Entry): Interpretation {
  const message = `delivered ${deliveries} times; the process died in ${maxTriesAlone} tries with nothing beside it`;
  const rejection = {
    stage: 'decode',
    reason: 'deliveries_exhausted',
    message,
    recordIndex: null,
    offset: null,
  } as const;
  return { kind: 'rejected', rejection };
}
