import type {
  ContractLimits,
  ContractRefusal,
  DomainContract,
  RefusedGeofence,
  TimingTable,
} from './contract.ts';
import { assignmentCollector } from './contract-assignments.ts';
import { isKey } from './contract-keys.ts';
import { tooManyGeofences, tooManyRows, tooManyVertices } from './contract-limits.ts';
import type {
  AssignmentViewRow,
  FormerDeviceRow,
  GeofenceViewRow,
  IgnoredViewRow,
} from './contract-rows.ts';
import { type Geofence, readGeofence } from './geofence.ts';
import { indexInParts } from './geofence-index.ts';
import { geofencePacker } from './geofence-packer.ts';
import { internStrings } from './intern.ts';
import type { Assignment, GeofenceId, Validity } from './types.ts';

/**
 * Vertices of one shape. Finding out whether its edges cross may take the square of this: half a
 * second at 10,000 where the boxes of all edges overlap.
 */
export const MAX_SHAPE_VERTICES = 10_000;
export const MAX_IGNORED_RANGES = 1_000_000;

/** Collects rows one at a time and becomes a contract. */
export interface ContractBuilder {
  /** @throws ContractBrokenError over the limits */
  addGeofence(row: GeofenceViewRow): void;
  addAssignment(row: AssignmentViewRow): void;
  addFormerDevice(row: FormerDeviceRow): void;
  addIgnored(row: IgnoredViewRow): void;
  /** Yields after each few milliseconds of work, so that the caller can let others run. */
  finish(version: number): Generator<void, DomainContract>;
}

/** The contract does not depend on the order of the rows. */
export function contractBuilder(timing: TimingTable, limits: ContractLimits): ContractBuilder {
  const geofences = geofenceCollector(timing, limits);
  const assignments = assignmentCollector(timing);
  const ignored = new Map<string, Validity[]>();
  let ranges = 0;

  return {
    addGeofence: geofences.add,
    addAssignment: assignments.add,
    addFormerDevice: assignments.addFormer,
    addIgnored({ imei, from, to }) {
      ranges += 1;
      if (ranges > MAX_IGNORED_RANGES) throw tooManyRows('ignored_v1', MAX_IGNORED_RANGES);
      if (imei === null || !(from < to)) return;
      const held = ignored.get(imei);
      if (held === undefined) ignored.set(imei, [{ from, to }]);
      else held.push({ from, to });
    },
    *finish(version) {
      const { byImei, refused } = yield* assignments.finish();
      const geofencesNow = geofences.result();
      const index = yield* indexInParts(geofencesNow.all);
      const parts = { ...geofencesNow, index, byImei, ignored, refusedAssignments: refused };
      return contractOf(version, timing, parts);
    },
  };
}

/** A function of its own: its closures keep nothing of the builder alive. */
function contractOf(
  version: number,
  timing: TimingTable,
  { index, refused, refusedAssignments, vertices, byImei, ignored }: ContractParts,
): DomainContract {
  return {
    version,
    index,
    refused,
    refusedAssignments,
    vertices,
    assignmentsOf: (imei) => byImei.get(imei) ?? [],
    ignoredOf: (imei) => ignored.get(imei) ?? [],
    timing,
  };
}

interface ContractParts
  extends Pick<DomainContract, 'index' | 'refused' | 'refusedAssignments' | 'vertices'> {
  readonly byImei: ReadonlyMap<string, readonly Assignment[]>;
  readonly ignored: ReadonlyMap<string, readonly Validity[]>;
}

function geofenceCollector(timing: TimingTable, { maxGeofences, maxVertices }: ContractLimits) {
  const held = new Map<string, { readonly geofence: Geofence; readonly vertices: number }>();
  const refused = new Map<string, RefusedGeofence>();
  const unnamed: RefusedGeofence[] = [];
  const intern = internStrings();
  const compact = geofencePacker();
  let rows = 0;
  let vertices = 0;

  function read(row: GeofenceViewRow, id: GeofenceId): ContractRefusal | null {
    if (row.isShapeTooLarge) return 'shape_too_large';
    const scope = row.scope === null ? null : intern(row.scope);
    const reading = readGeofence(
      { ...row, id, scope, shape: parse(row.shape) },
      { maxVertices: MAX_SHAPE_VERTICES },
    );
    if (!reading.ok) return reading.refusal;
    vertices += reading.vertices;
    if (vertices > maxVertices) throw tooManyVertices(maxVertices);
    held.set(id, { vertices: reading.vertices, geofence: compact(reading.geofence) });
    return null;
  }

  /** None of several rows with one id is evaluated: which of them is right is not known here. */
  function takeOut(id: string): ContractRefusal {
    vertices -= held.get(id)?.vertices ?? 0;
    held.delete(id);
    return 'id_repeated';
  }

  return {
    add(row: GeofenceViewRow): void {
      rows += 1;
      if (rows > maxGeofences) throw tooManyGeofences(maxGeofences);
      const { geofence: id } = row;
      if (id === null || !isKey<GeofenceId>(id, timing.geofenceType)) {
        unnamed.push({ geofence: id ?? '', reason: 'id_invalid' });
        return;
      }
      const isRepeated = held.has(id) || refused.has(id);
      const reason = isRepeated ? takeOut(id) : read(row, id);
      if (reason !== null) refused.set(id, { geofence: id, reason });
    },
    result: () => ({
      all: Array.from(held.values(), ({ geofence }) => geofence),
      refused: [...refused.values(), ...unnamed],
      vertices,
    }),
  };
}

function parse(shape: string | null): unknown {
  if (shape === null) return null;
  try {
    return JSON.parse(shape);
  } catch {
    // `readGeofence` refuses it as not_geojson; the column's type lets no other text in.
    return null;
  }
}
