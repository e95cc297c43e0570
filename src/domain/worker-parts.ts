import type { BackoffLimits } from '../core/backoff.ts';
import type { BatchOptions } from './batch-context.ts';
import type { DomainContract } from './contract.ts';
import type { BatchErrorKind, DomainEvents, DomainStore } from './ports.ts';

export interface WorkerOptions extends BatchOptions {
  /** Devices of one transaction. */
  readonly batchDevices: number;
  /** Pause before an empty outbox is looked at again. */
  readonly idleMs: number;
  readonly backoff: BackoffLimits;
  /** Failures alone after which a device is parked. */
  readonly parkAfter: number;
}

/** What an error means for the worker. */
export interface BatchErrorMeaning {
  readonly kind: BatchErrorKind;
  readonly code: string;
  /** A statement took too long: it may be the batch that is too large. */
  readonly isTimeout: boolean;
}

export interface WorkerParts {
  readonly store: DomainStore;
  readonly events: DomainEvents;
  /** The contract as it was last loaded; null: it is broken or not loaded yet. */
  readonly contract: () => DomainContract | null;
  /** Loads it again, after an edit. */
  readonly reload: () => Promise<void>;
  readonly meaningOf: (error: unknown) => BatchErrorMeaning;
  /** While ingestion's database fails, the domain leaves the database alone. */
  readonly isIngestionFailing: () => boolean;
}
