import type { Guard } from './guard.ts';
import type { InFlight } from './in-flight.ts';
import type {
  Account,
  DependencyError,
  EntryId,
  HeldEntry,
  ReadingEvents,
  WorkSubject,
} from './types.ts';

export interface AcknowledgementParts {
  readonly account: Account;
  readonly inFlight: InFlight;
  /** The guard of Redis; reading pauses while it fails. */
  readonly guard: Guard;
  /** The guard of the dead-letter stream; reading continues, within the in-flight budget, while it fails. */
  readonly deadLetterGuard: Guard;
  /** Acknowledges entries without rejections. @throws DependencyError */
  readonly acknowledge: (held: readonly HeldEntry[]) => Promise<void>;
  /** Moves the first of these entries to the dead-letter stream, in one bounded round. */
  readonly moveRound: (held: readonly HeldEntry[]) => Promise<MoveResult>;
  readonly events: Pick<ReadingEvents, 'rejected' | 'acknowledged'>;
}

/** The entries that one round tried to move; the rest of the list was not tried. */
export interface MoveResult {
  readonly moved: readonly HeldEntry[];
  readonly failed: readonly HeldEntry[];
  /** Null when none failed. */
  readonly failure: DependencyError | null;
}

export interface Acknowledgement {
  /** Adds an entry whose records all have an outcome; `run` acknowledges it. */
  add(held: HeldEntry): void;
  run(): void;
  /** Resolves when both lanes are empty. */
  idle(): Promise<void>;
  /** Entries that wait for their dead letter to be written. */
  readonly waiting: number;
  /** Entries whose acknowledgement or dead letter Redis refuses at present. */
  readonly blocked: number;
  /** Whether this entry waits for its dead letter and the dead-letter stream is failing. */
  isBlocked(id: EntryId): boolean;
}

/** Maximum number of entries in one round; a round takes fewer when they are large. */
const maxOffered = 100;

/**
 * Acknowledges entries in two lanes: entries without rejections in large batches, and entries with
 * rejections by moving them to the dead-letter stream. When a move fails (Redis out of memory, a
 * missing right), its lane retries with backoff and the other lane continues. A lane runs one
 * operation at a time; entries added meanwhile go into the next one.
 */
export function createAcknowledgement(
  parts: AcknowledgementParts,
  abandoned: AbortSignal,
  onBroken: (error: unknown) => void,
): Acknowledgement {
  const { guard, deadLetterGuard, inFlight, events } = parts;
  const plain: HeldEntry[] = [];
  const rejected: HeldEntry[] = [];
  /** Entries of the acknowledgement that is under way. */
  let underWay = 0;

  async function acknowledgePlain(): Promise<void> {
    const entries = plain.splice(0);
    underWay = entries.length;
    const since = performance.now();
    const acknowledge = async () => {
      await parts.acknowledge(entries);
      return true;
    };
    const done = await guard.untilDone(acknowledge, abandoned, subjectOf(entries));
    underWay = 0;
    if (done !== null) settle(entries, performance.now() - since);
  }

  async function moveRejected(): Promise<void> {
    const move = async () => {
      const since = performance.now();
      const { moved, failed, failure } = await parts.moveRound(rejected.slice(0, maxOffered));
      // Failed entries go to the end, so that one that always fails does not delay the others.
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
    for (const held of entries) settleAcknowledged(parts, held);
    inFlight.releaseAll(entries);
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
        // Poison isolation of another stream waits until only blocked entries are in flight.
        if (guard.isFailing) inFlight.wake();
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
    get blocked() {
      const acknowledgements = guard.isFailing ? plain.length + underWay : 0;
      return acknowledgements + (deadLetterGuard.isFailing ? rejected.length : 0);
    },
    isBlocked: (id) => deadLetterGuard.isFailing && rejected.some(({ entry }) => entry.id === id),
  };
}

/** Repeats `work` while the queue holds entries, one run at a time. */
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
