import type { BatchStage, DomainTransaction } from './ports.ts';

export type StageMs = Record<BatchStage, number>;

/** Which stage a call belongs to; what is in none is computing. */
const stageOf = {
  take: 'take',
  ground: 'take',
  parked: 'take',
  addToParked: 'write',
  readFixes: 'read',
  readEdges: 'read',
  readCrossings: 'read',
  readLast: 'read',
  readGeofences: 'read',
  areStored: 'read',
  supersede: 'write',
  insert: 'write',
  putBack: 'write',
  queued: 'write',
} as const satisfies Record<keyof DomainTransaction, BatchStage>;

/** The same transaction; adds the time of each call to its stage, and checks `signal` before it. */
export function timedTransaction(
  tx: DomainTransaction,
  stageMs: StageMs,
  signal: AbortSignal,
): DomainTransaction {
  function timed<Args extends readonly unknown[], Result>(
    name: keyof DomainTransaction,
    call: (...args: Args) => Promise<Result>,
  ): (...args: Args) => Promise<Result> {
    return async (...args) => {
      signal.throwIfAborted();
      const started = performance.now();
      try {
        return await call(...args);
      } finally {
        stageMs[stageOf[name]] += performance.now() - started;
      }
    };
  }
  return {
    take: timed('take', tx.take),
    ground: timed('ground', tx.ground),
    parked: timed('parked', tx.parked),
    addToParked: timed('addToParked', tx.addToParked),
    readFixes: timed('readFixes', tx.readFixes),
    readEdges: timed('readEdges', tx.readEdges),
    readCrossings: timed('readCrossings', tx.readCrossings),
    readLast: timed('readLast', tx.readLast),
    readGeofences: timed('readGeofences', tx.readGeofences),
    areStored: timed('areStored', tx.areStored),
    supersede: timed('supersede', tx.supersede),
    insert: timed('insert', tx.insert),
    putBack: timed('putBack', tx.putBack),
    queued: timed('queued', tx.queued),
  };
}
