import type { DeviceId, Outcomes, Position } from '../core/types.ts';
import { BatchWriting, type WritingOptions } from './batch-writing.ts';
import { createCanary } from './canary.ts';
import type { ChunkBudget } from './chunk-budget.ts';
import type { Database } from './pool.ts';
import { groupByKey, splitByChunks } from './write-plan.ts';

export interface PositionWriterOptions extends WritingOptions {
  /** Limits chunks for old records; by default there is no limit. */
  readonly chunkBudget?: ChunkBudget;
}

export interface PositionWriter {
  /**
   * Writes the rows whose outcome is null and sets each outcome once it is durable, so that a call
   * that failed half way can be repeated with the same `outcomes`.
   * Bisection isolates a refused row and stores its neighbours: at most
   * 2n - 1 inserts for n rows, about 2 log2(n) for one bad row. The evidence that the row is
   * the cause takes at most 2 probes of 24 statements, one more for every 64 bad rows, and one
   * comparison per chunk (decision 0035). A batch without refusals is one statement.
   * @returns the number of statements sent
   * @throws DependencyError if the database is not available or not set up
   */
  write(rows: readonly Position[], outcomes: Outcomes): Promise<number>;
  /** Keeps no row of the device in memory. */
  forget(device: DeviceId): void;
}

/** Consecutive passes without an outcome after which the remaining rows count as skipped. */
const maxIdlePasses = 3;

export function createPositionWriter(
  database: Database,
  options: PositionWriterOptions,
): PositionWriter {
  let isReplay = false;
  const canary = createCanary();
  return {
    forget: canary.forget,
    write: (rows, outcomes) =>
      database.use(async (client) => {
        const writing = new BatchWriting({ client, canary, options }, rows, outcomes);
        const asked = (await options.chunkBudget?.admit(client, rows, outcomes)) ?? 0;
        if (isReplay) await writing.settleReplay();
        await writeAll(writing, rows, outcomes, options);
        isReplay = isAllStored(outcomes);
        return asked + writing.statements;
      }),
  };
}

async function writeAll(
  writing: BatchWriting,
  rows: readonly Position[],
  outcomes: Outcomes,
  options: PositionWriterOptions,
): Promise<void> {
  let idlePasses = 0;
  for (let open = countOpen(outcomes); open > 0 && idlePasses < maxIdlePasses; ) {
    const groups = groupByKey(rows, outcomes);
    for (const part of splitByChunks(groups, rows, options)) await writing.write(part);
    await writing.settleRefusals();
    const left = countOpen(outcomes);
    idlePasses = left < open ? 0 : idlePasses + 1;
    open = left;
  }
  await writing.settleSkipped();
}

function countOpen(outcomes: Outcomes): number {
  let open = 0;
  for (const outcome of outcomes) if (outcome === null) open += 1;
  return open;
}

/**
 * Whether every row already existed. The next batch is then compared before it is inserted, so that a
 * stream that is read again, or a fleet that resends a day, costs one statement per batch.
 */
function isAllStored(outcomes: Outcomes): boolean {
  return (
    outcomes.length > 0 &&
    outcomes.every((outcome) => outcome === 'duplicate' || outcome === 'conflict')
  );
}
