import type { DeviceId } from '../core/types.ts';
import type { GeofenceIndex } from './geofence-index.ts';
import { refusals } from './geojson.ts';
import type { Assignment, Validity } from './types.ts';

/** The closed list of reasons why a row of `geofences_v1` is refused. */
export const contractRefusals = [
  ...refusals,
  'id_invalid',
  'id_repeated',
  'shape_too_large',
] as const;
export type ContractRefusal = (typeof contractRefusals)[number];

export interface RefusedGeofence {
  /** Empty where the row has no id. */
  readonly geofence: string;
  readonly reason: ContractRefusal;
}

/** What the owner of the views and of the timing table must fix, and how. */
export interface ContractFault {
  /** Schema-qualified, with the column where one is meant: `public.timing_records.at`. */
  readonly object: string;
  readonly problem: string;
  /** SQL where SQL fixes it. */
  readonly advice: string;
}

/**
 * The contract is broken: the domain stays off until its owner fixes it. Ingestion is not affected.
 * The message names the first fault; it holds no row values.
 */
export class ContractBrokenError extends Error {
  override readonly name = 'ContractBrokenError';
  readonly code = 'CONTRACT_BROKEN';
  readonly faults: readonly ContractFault[];

  constructor(faults: readonly ContractFault[], options?: { cause: unknown }) {
    const [first] = faults;
    super(
      `domain contract: ${first?.object ?? 'unknown'}: ${first?.problem ?? ''}: ${first?.advice ?? ''}`,
      options,
    );
    this.faults = faults;
  }
}

/** The table that timing records are written to, as the catalogue has it. */
export interface TimingTable {
  readonly schema: string;
  readonly name: string;
  /** Types for casts of keys, which are text here. */
  readonly idType: string;
  readonly deviceType: string;
  readonly geofenceType: string;
  /** The column for what a device is assigned to; null: none is configured. */
  readonly subject: { readonly column: string; readonly type: string } | null;
  /** Whether `latitude` and `longitude` are there and may be written. */
  readonly hasCoordinates: boolean;
  readonly hasDateCreated: boolean;
}

/** What the views say, at one version: everything that an evaluation needs besides positions. */
export interface DomainContract {
  /** `positions.domain_version` when it was loaded. */
  readonly version: number;
  readonly index: GeofenceIndex;
  readonly refused: readonly RefusedGeofence[];
  /** Rows of `devices_v1` without a usable IMEI or key, or with a key that several IMEIs have. */
  readonly refusedAssignments: number;
  /** Vertices of all shapes that are evaluated. */
  readonly vertices: number;
  /**
   * Merged (`mergeAssignments`); empty: the device is not known. One that is never valid names a key
   * under which older timing records may be stored.
   */
  assignmentsOf(imei: DeviceId): readonly Assignment[];
  /** Ranges whose fixes do not count, half open. */
  ignoredOf(imei: DeviceId): readonly Validity[];
  readonly timing: TimingTable;
}

export interface ContractLimits {
  readonly maxGeofences: number;
  /** Of all shapes together. */
  readonly maxVertices: number;
}
