import type { DeviceId } from '../core/types.ts';
import type { DomainContract } from './contract.ts';
import type { DomainTransaction } from './ports.ts';
import type { Assignment, DeviceKey, DomainOptions } from './types.ts';

export interface BatchLimits {
  /** Positions that one range reads; what is left goes back to the outbox. */
  readonly rangeRows: number;
  /** Positions that the ranges of one layer read together. */
  readonly layerRows: number;
  /** Ranges of one device in a transaction. */
  readonly layers: number;
  /** Positions that the extensions of a layer read together. */
  readonly extensionRows: number;
}

export interface BatchOptions extends DomainOptions {
  /** Positions older than this are deleted or about to be; null: never. */
  readonly retentionMs: number | null;
  /** Older timing records may contradict geofences that were edited since. */
  readonly recomputeHorizonMs: number;
  readonly limits: BatchLimits;
}

/** What the computation of a batch works with. */
export interface BatchContext {
  readonly tx: DomainTransaction;
  readonly contract: DomainContract;
  /** Of the devices of the batch. */
  readonly assignments: ReadonlyMap<DeviceId, readonly Assignment[]>;
  readonly options: BatchOptions;
  /** The database's clock. */
  readonly nowMs: number;
  /** Called often while computing; lets other work run when it is time. */
  readonly pause: () => Promise<void> | undefined;
}

/** The keys under which a device has timing records, those of former assignments among them. */
export function keysOf({ contract }: BatchContext, imei: DeviceId): DeviceKey[] {
  return [...new Set(contract.assignmentsOf(imei).map(({ device }) => device))];
}

/** Positions before this are deleted, or may be at any moment. */
export function oldestKept({ options: { retentionMs }, nowMs }: BatchContext): number {
  return retentionMs === null ? -Infinity : nowMs - retentionMs;
}
