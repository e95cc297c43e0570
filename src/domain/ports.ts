/** What the worker reports, and what it asks of a database. Types and closed lists only. */

import type { DeviceId } from '../core/types.ts';
import type { TimingTable } from './contract.ts';
import type {
  DeviceKey,
  Fix,
  GeofenceId,
  KeyedCrossing,
  LiveCrossing,
  SubjectKey,
  Validity,
} from './types.ts';

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
  /** Rows of the assignments that cannot be used. */
  readonly refusedAssignments: number;
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
  /** Null: the outbox could not be read, and its state is unknown. */
  sampled(sample: QueueSample | null): void;
  /** The outbox was above its limit and became one range a device. */
  compacted(rows: { readonly before: number; readonly after: number }): void;
  /** The worker waits: an operator paused it, or ingestion's database is failing. */
  waiting(cause: 'paused' | 'ingestion' | null): void;
}

/** A time range of a device to compute again, both ends inclusive, epoch milliseconds. */
export interface Range {
  readonly device: DeviceId;
  /** -Infinity and Infinity: without a bound. */
  readonly since: number;
  readonly until: number;
  /** When the positions behind it were committed, as the database prints it. */
  readonly enqueuedAt: string;
}

/** A row of the outbox. */
export interface QueuedRange extends Range {
  readonly id: string;
  /** Since it was enqueued, by the database's clock. */
  readonly ageMs: number;
}

export interface TakeRequest {
  readonly maxRows: number;
  readonly maxDevices: number;
  /** Only this device; null: the oldest rows. */
  readonly only: DeviceId | null;
  /** Devices to leave in the outbox. */
  readonly excluded: readonly DeviceId[];
}

/** Rows that were deleted from the outbox, of devices that this transaction has to itself. */
export interface Taken {
  readonly ranges: readonly QueuedRange[];
  /** Devices that another worker is computing. */
  readonly busy: number;
}

/** What decides whether a batch may be computed, read after the devices are locked. */
export interface BatchGround {
  readonly version: number;
  readonly isPaused: boolean;
  /** The database's clock. */
  readonly nowMs: number;
}

/** A stored position as the computation sees it. */
export interface StoredFix {
  readonly ts: number;
  /** Null: the position cannot be used. */
  readonly fix: Fix | null;
}

export interface FixRequest {
  readonly device: DeviceId;
  /** Inclusive. */
  readonly since: number;
  readonly until: number;
}

export interface FixPage {
  /** Stored positions of the range, oldest first, usable or not; at most as many as the limit. */
  readonly rows: readonly StoredFix[];
  /** The first usable one after the range. */
  readonly after: Fix | null;
}

export interface EdgeRequest extends FixRequest {
  /** Positions before this are not looked at. */
  readonly floor: number;
  readonly wantsLast: boolean;
}

/** What lies around a range. */
export interface Edges {
  /** The last usable fix between `floor` and the range. */
  readonly previous: Fix | null;
  /** The first stored position from `floor` on, usable or not; null also where `previous` is given. */
  readonly firstTs: number | null;
  /** The last stored position after the range, where it was asked for. */
  readonly lastTs: number | null;
}

/** Live crossings with `afterTs` in (from, to]. */
export interface CrossingRequest {
  readonly devices: readonly DeviceKey[];
  readonly from: number;
  readonly to: number;
}

/** The last live crossing of an evaluation with `afterTs` at or before `until`. */
export interface LastRequest extends Validity {
  readonly device: DeviceKey;
  readonly geofence: GeofenceId;
  readonly subject: SubjectKey | null;
  readonly until: number;
}

/** Ignored ranges, half open; empty for most devices. */
export type IgnoredOf = (device: DeviceId) => readonly Validity[];

/** One transaction of the worker. Results are in the order of the requests. */
export interface DomainTransaction {
  take(request: TakeRequest): Promise<Taken>;
  ground(): Promise<BatchGround>;
  /** Those of the devices that are parked. */
  parked(devices: readonly DeviceId[]): Promise<ReadonlySet<DeviceId>>;
  /** Adds ranges to those of devices that are parked already. */
  addToParked(ranges: readonly Range[]): Promise<void>;
  readFixes(
    requests: readonly FixRequest[],
    limit: number,
    ignoredOf: IgnoredOf,
  ): Promise<FixPage[]>;
  readEdges(requests: readonly EdgeRequest[], ignoredOf: IgnoredOf): Promise<Edges[]>;
  readCrossings(requests: readonly CrossingRequest[]): Promise<LiveCrossing[][]>;
  readLast(requests: readonly LastRequest[]): Promise<(LiveCrossing | null)[]>;
  /** Geofences that live crossings with `afterTs` at or before `to` name. */
  readGeofences(requests: readonly Omit<CrossingRequest, 'from'>[]): Promise<GeofenceId[][]>;
  /** Whether a position is stored at this time of the device, usable or not. */
  areStored(
    requests: readonly { readonly device: DeviceId; readonly ts: number }[],
  ): Promise<readonly boolean[]>;
  supersede(ids: readonly string[]): Promise<number>;
  insert(
    crossings: readonly KeyedCrossing[],
  ): Promise<{ readonly inserted: number; readonly revived: number }>;
  putBack(ranges: readonly Range[]): Promise<void>;
  /** Those of the devices with a row in the outbox. */
  queued(devices: readonly DeviceId[]): Promise<ReadonlySet<DeviceId>>;
}

/** The domain's database, as the worker uses it. */
export interface DomainStore {
  /** Commits when `work` returns true; rolls back when it returns false or throws. */
  transaction(
    timing: TimingTable,
    work: (tx: DomainTransaction) => Promise<boolean>,
  ): Promise<void>;
  /** Moves the ranges of a device from the outbox to the parked ones; false: another worker has it. */
  park(device: DeviceId, attempts: number, error: string): Promise<boolean>;
  sample(maxRows: number): Promise<Omit<QueueSample, 'unknownDevices'>>;
  /** Devices with positions that no assignment names; null: this role may not list devices. */
  countUnknown(): Promise<number | null>;
  /** Makes one range a device of the outbox; null: another instance does. */
  compact(): Promise<{ readonly before: number; readonly after: number } | null>;
}
