/** What the worker reports, and what it asks of a database. Types and closed lists only. */

import type { DeviceId } from '../core/types.ts';

/** The parts of one batch: take rows of the outbox, read windows, compute, write and commit. */
export const batchStages = ['take', 'read', 'compute', 'write'] as const;
export type BatchStage = (typeof batchStages)[number];

/**
 * Why a batch was rolled back. `unavailable` and `configuration`: as of every database error.
 * `reload`: geofences or assignments changed meanwhile. `data`: the computation or a row failed.
 */
export const batchErrorKinds = ['unavailable', 'configuration', 'reload', 'data'] as const;
export type BatchErrorKind = (typeof batchErrorKinds)[number];

/** What became of timing records. */
export interface RecordCounts {
  readonly inserted: number;
  readonly superseded: number;
  /** Superseded earlier, live again. */
  readonly revived: number;
  readonly unchanged: number;
}

/** One committed batch. */
export interface BatchReport {
  /** Rows taken from the outbox. */
  readonly rows: number;
  readonly devices: number;
  readonly windows: number;
  readonly fixes: number;
  readonly records: RecordCounts;
  /** Windows whose previous fix decides otherwise than the live records, with no range queued. */
  readonly mismatches: number;
  /** Ranges that begin before the oldest kept position; that part was not computed. */
  readonly clamped: number;
  /** Devices without an assignment, whose rows were deleted. */
  readonly unknownDevices: number;
  /** Ranges of parked devices, added to what is parked. */
  readonly parkedRanges: number;
  /** Ranges that go back to the outbox because a bound was reached. */
  readonly putBack: number;
  readonly stageMs: Readonly<Record<BatchStage, number>>;
  /** For each device that is done: from the oldest row's commit until now. */
  readonly latenciesMs: readonly number[];
}

/** A batch that was rolled back. */
export interface BatchFailure {
  readonly kind: BatchErrorKind;
  /** SQLSTATE, Node errno or error name: short, safe to log. */
  readonly code: string;
  /** Failures in a row, from 1. */
  readonly attempt: number;
  readonly devices: number;
  readonly error: unknown;
}

export interface RefusedGeofence {
  readonly geofence: string;
  readonly reason: string;
}

/** What the owner of the contract must fix, and how; as the contract's check reports it. */
export interface ReportedFault {
  readonly object: string;
  readonly problem: string;
  readonly advice: string;
}

/** A contract that was loaded: geofences and assignments. */
export interface LoadReport {
  readonly version: number;
  readonly active: number;
  readonly refused: readonly RefusedGeofence[];
  readonly durationMs: number;
}

/** The state of the outbox, sampled. */
export interface QueueSample {
  readonly rows: number;
  /** 0 when it is empty. */
  readonly oldestMs: number;
  readonly parkedDevices: number;
  readonly isPaused: boolean;
  /** Devices with positions and without an assignment; null: not counted in this sample. */
  readonly unknownDevices: number | null;
}

/** Events of the domain; metrics and logs subscribe here. No handler throws. */
export interface DomainEvents {
  batch(report: BatchReport): void;
  failed(failure: BatchFailure): void;
  /** The first batch after failures. */
  recovered(): void;
  /** A device failed too often alone; its ranges wait for an operator. */
  parked(device: DeviceId, attempts: number, code: string): void;
  /** An empty list: the contract is as promised. Reported at start and at each change. */
  contract(faults: readonly ReportedFault[]): void;
  loaded(report: LoadReport): void;
  /** Geofences, assignments or ignored ranges changed, and the affected ranges were queued. */
  changed(changes: { readonly changed: number; readonly enqueued: number }): void;
  sampled(sample: QueueSample): void;
  /** The outbox was above its limit and became one range a device. */
  compacted(rows: { readonly before: number; readonly after: number }): void;
  /** The worker waits: an operator paused it, or ingestion's database is failing. */
  waiting(cause: 'paused' | 'ingestion' | null): void;
}
