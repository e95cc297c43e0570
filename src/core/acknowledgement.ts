import type { Guard } from './guard.ts';
import type { InFlight } from './in-flight.ts';
import type {
  Account,
  DependencyError,
  Entry,
  EntryId,
  HeldEntry,
  PipelineEvents,
  WorkSubject,
} from './types.ts';

export interface AcknowledgementParts {
  readonly account: Account;
  readonly inFlight: InFlight;
  /** Of Redis: while it fails, nothing is read. */
  readonly guard: Guard;
  /** Of the dead-letter stream alone: while it fails, reading goes on within the budget. */
  readonly deadLetterGuard: Guard;
  /** Acknowledges entries without rejections. @throws DependencyError */
  readonly acknowledge: (entries: readonly Entry[]) => Promise<void>;
  /** Moves the first of these entries, in one bounded round, to the dead-letter stream. */
  readonly moveRound: (held: readonly HeldEntry[]) => Promise<MoveResult>;
  readonly events: Pick<PipelineEvents, 'rejected' | 'acknowledged'>;
}

/** The first entries of a list, by what became of them; the others were not tried. */
export interface MoveResult {
  readonly moved: readonly HeldEntry[];
  readonly failed: readonly HeldEntry[];
  /** Null when none failed. */
  readonly failure: DependencyError | null;
}

export interface Acknowledgement {
  /** Takes entries whose records all have an outcome; `run` acknowledges them. */
  add(held: HeldEntry): void;
  run(): void;
  /** Resolves when no acknowledgement is under way and none is due. */
  idle(): Promise<void>;
  /** Entries whose dead letter is due. */
  readonly waiting: number;
  /** Whether this entry's dead letter is due and cannot be written at the moment. */
  isBlocked(id: EntryId): boolean;
}

/** Entries offered to one round; a round takes less when they are large. */
const maxOffered = 100;

/**
 * Two lanes: entries without rejections are acknowledged in large batches, the others are moved to
 * the dead-letter stream. An entry that cannot be moved (Redis out of memory, a missing right)
 * waits in its own lane, with backoff, and delays no other acknowledgement. Each lane does one
 * thing at a time; what completes meanwhile goes with the next.
 */
export function createAcknowledgement(
  parts: AcknowledgementParts,
  abandoned: AbortSignal,
  onBroken: (error: unknown) => void,
): Acknowledgement {
  const { guard, deadLetterGuard, inFlight, events } = parts;
  const plain: HeldEntry[] = [];
  const rejected: HeldEntry[] = [];

  async function acknowledgePlain(): Promise<void> {
    const entries = plain.splice(0);
    const since = performance.now();
    const acknowledge = async () => {
      await parts.acknowledge(entries.map(({ entry }) => entry));
      return true;
    };
    const done = await guard.untilDone(acknowledge, abandoned, subjectOf(entries));
    if (done !== null) settle(entries, performance.now() - since);
  }

  async function moveRejected(): Promise<void> {
    const move = async () => {
      const since = performance.now();
      const { moved, failed, failure } = await parts.moveRound(rejected.slice(0, maxOffered));
      // What failed goes to the end: one entry that always fails holds up no other.
      rejected.splice(0, moved.length + failed.length);
      rejected.push(...failed);
      settle(moved, performance.now() - since);
      if (failure !== null) throw failure;
      return true;
    };
    await deadLetterGuard.untilDone(move, abandoned, subjectOf(rejected));
  }

  function settle(entries: readonly HeldEntry[], durationMs: number): void {
    if (entries.length === 0) return;
    for (const held of entries) {
      settleAcknowledged(parts, held);
      inFlight.release(held);
    }
    events.acknowledged(entries, durationMs);
  }

  const lanes = [
    createLane(plain, acknowledgePlain, abandoned, onBroken),
    createLane(rejected, moveRejected, abandoned, onBroken),
  ];
  return {
    add(held) {
      if (held.rejections.length === 0) {
        plain.push(held);
        return;
      }
      held.entry.fields.detach();
      rejected.push(held);
      // Poison isolation waits until only entries with blocked dead letters are in flight.
      if (deadLetterGuard.isFailing) inFlight.wake();
    },
    run() {
      for (const lane of lanes) lane.run();
    },
    async idle() {
      await Promise.all(lanes.map((lane) => lane.idle()));
    },
    get waiting() {
      return rejected.length;
    },
    isBlocked: (id) => deadLetterGuard.isFailing && rejected.some(({ entry }) => entry.id === id),
  };
}

/** Does `work` as long as the queue holds anything, one at a time. */
function createLane(
  queue: readonly HeldEntry[],
  work: () => Promise<void>,
  abandoned: AbortSignal,
  onBroken: (error: unknown) => void,
): { run(): void; idle(): Promise<void> } {
  let running: Promise<void> | null = null;
  function run(): void {
    if (running !== null || queue.length === 0) return;
    running = work().then(
      () => {
        running = null;
        if (!abandoned.aborted) run();
      },
      (error: unknown) => {
        running = null;
        onBroken(error);
      },
    );
  }
  return {
    run,
    async idle() {
      while (running !== null) await running;
    },
  };
}

function settleAcknowledged(
  { account, events }: Pick<AcknowledgementParts, 'account' | 'events'>,
  held: HeldEntry,
): void {
  if (held.isMessage) account.settle('message', 1);
  for (const rejection of held.rejections) {
    account.settle(rejection.stage === 'conflict' ? 'conflict' : 'dead_letter', 1);
  }
  if (held.rejections.length > 0) events.rejected(held);
  held.open = 0;
}

function subjectOf(entries: readonly HeldEntry[]): WorkSubject {
  const [first] = entries;
  return first === undefined ? {} : { entries: entries.length, first_entry_id: first.entry.id };
}
