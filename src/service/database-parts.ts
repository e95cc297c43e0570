import type { Config } from '../config/load.ts';
import { DeviceStates } from '../core/device-state.ts';
import type { Logger } from '../core/types.ts';
import { createChunkBudget } from '../db/chunk-budget.ts';
import { type Database, openDatabase } from '../db/pool.ts';
import { createPositionWriter } from '../db/position-writer.ts';
import { createRehydrate } from '../db/rehydration.ts';
import type { Metrics } from '../observability/metrics.ts';

/** Chunks that one statement may touch; far below what the default lock table holds. */
const maxChunksPerStatement = 48;

/** The pool of the service; it connects on first use. */
export function buildDatabase(
  { database, service, pipeline }: Config,
  metrics: Metrics,
  log: Logger,
): Database {
  return openDatabase(
    {
      ...database,
      applicationName: `processor:${service.instance}`,
      // One more than the writers, so that a look-up of devices does not wait for a batch.
      size: pipeline.writers + 1,
      deadlineMs: database.insertDeadlineMs,
      needsPrimary: true,
      onPrimaryChange: () => metrics.databasePrimaryChanges.inc(),
    },
    log,
  );
}

export function buildWriter({ database: db }: Config, database: Database) {
  const now = () => Date.now();
  return createPositionWriter(database, {
    chunkIntervalMs: db.chunkIntervalMs,
    maxChunksPerStatement,
    chunkBudget: createChunkBudget({ ...db, perDay: db.oldChunksPerDay, now }),
    mayBeCompressed: (ts) => db.columnstoreAfterMs !== null && ts < now() - db.columnstoreAfterMs,
  });
}

export function buildDeviceStates(
  { deviceState }: Config,
  metrics: Metrics,
  database: Database,
): DeviceStates {
  metrics.deviceStateCapacity.set(deviceState.capacity);
  return new DeviceStates({
    ...deviceState,
    rehydrate: createRehydrate(database),
    now: () => Date.now(),
    onLookup: (result, devices) =>
      (result === 'hit' ? metrics.deviceStateHits : metrics.deviceStateMisses).inc(devices),
    onRehydrated: (result, devices) => metrics.rehydrations.inc({ result }, devices),
    onEvicted: () => metrics.deviceStateEvictions.inc(),
  });
}
