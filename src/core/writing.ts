import type { Batcher } from './batcher.ts';
import type { DeviceStates } from './device-state.ts';
import type { Guard } from './guard.ts';
import { rejectionOf } from './held-entry.ts';
import type { Account, Batch, Outcomes, Position, WritingEvents } from './types.ts';

/** The parts of the writing side, which all reading sides share. */
export interface WritingParts {
  readonly account: Account;
  readonly batcher: Batcher;
  readonly states: DeviceStates;
  /** The guard of the database; all reading pauses while it fails. */
  readonly databaseGuard: Guard;
  /** Stores rows and sets `outcomes`; those set are durable, also if it throws a DependencyError. */
  readonly write: (rows: readonly Position[], outcomes: Outcomes) => Promise<number>;
  readonly events: WritingEvents;
  readonly writers: number;
}

export interface Writing {
  start(): void;
  /** Ends the input. @returns when the rows that are left have been written */
  finish(): Promise<void>;
  /** Resolves when all writers have ended. Rejects on any error but a DependencyError, which is a bug. */
  ended(): Promise<void>;
}

/**
 * Writes the batches of all reading sides, and returns each entry to its origin once all of its
 * records have an outcome.
 * @param abandoned aborts when the drain budget is over
 * @param onSettled called after each batch, to acknowledge the entries that it completed
 */
export function createWriting(
  parts: WritingParts,
  abandoned: AbortSignal,
  onSettled: () => void,
): Writing {
  const { account, batcher, states, databaseGuard, write, events } = parts;
  let writers: readonly Promise<void>[] = [];

  async function writeLoop(): Promise<void> {
    for (let batch = await batcher.take(); batch !== null; batch = await batcher.take()) {
      await writeBatch(batch);
      if (abandoned.aborted) return;
    }
  }

  /** Retries a batch until every row has a durable outcome or the drain budget is over. */
  async function writeBatch(batch: Batch): Promise<void> {
    const outcomes: Outcomes = batch.rows.map(() => null);
    const written = await databaseGuard.untilDone(
      async () => {
        await states.warm(batch.rows);
        const since = performance.now();
        const statements = await write(batch.rows, outcomes);
        events.batch(batch, outcomes, performance.now() - since, statements);
        return true;
      },
      abandoned,
      { batch_id: batch.id },
    );
    if (written !== null) settle(batch, outcomes);
  }

  function settle(batch: Batch, outcomes: Outcomes): void {
    const { rows, owners } = batch;
    const stored: Position[] = [];
    let inserted = 0;
    for (let index = 0; index < rows.length; index += 1) {
      const row = rows[index];
      const outcome = outcomes[index];
      const held = owners[index];
      if (row === undefined || held === undefined) continue;
      if (outcome === null || outcome === undefined) continue;
      if (outcome === 'inserted' || outcome === 'duplicate') {
        if (outcome === 'inserted') inserted += 1;
        stored.push(row);
        held.open -= 1;
      } else {
        held.rejections.push(rejectionOf(row, outcome));
      }
      // Rejected records stay open until the dead letter is written, with the acknowledgement.
      if (held.open === held.rejections.length) held.origin.settled(held);
    }
    account.settle('inserted', inserted);
    account.settle('duplicate', stored.length - inserted);
    events.late(states.apply(stored));
    onSettled();
  }

  return {
    start() {
      writers = Array.from({ length: parts.writers }, writeLoop);
    },
    async finish() {
      batcher.close();
      await Promise.all(writers);
    },
    async ended() {
      await Promise.all(writers);
    },
  };
}
