import type { TimingTable } from './contract.ts';
import { isKey } from './contract-keys.ts';
import { tooManyRows } from './contract-limits.ts';
import type { AssignmentViewRow, FormerDeviceRow } from './contract-rows.ts';
import { mergeAssignments } from './evaluation.ts';
import { internStrings } from './intern.ts';
import type { Assignment, DeviceKey, SubjectKey } from './types.ts';

/** A constant, because no fleet has as many: 1,000,000 rows take about 300 MB. */
export const MAX_ASSIGNMENTS = 1_000_000;

/** Rows that are worked on before others can run. */
const STEP = 5000;

export interface AssignmentCollector {
  add(row: AssignmentViewRow): void;
  addFormer(row: FormerDeviceRow): void;
  finish(): Generator<void, CollectedAssignments>;
}

export interface CollectedAssignments {
  readonly byImei: ReadonlyMap<string, readonly Assignment[]>;
  readonly refused: number;
}

export function assignmentCollector(timing: TimingTable): AssignmentCollector {
  const byImei = new Map<string, Assignment[]>();
  const formerRows: FormerDeviceRow[] = [];
  const imeis = new Map<DeviceKey, string>();
  const shared = new Set<DeviceKey>();
  const intern = internStrings();
  let rows = 0;
  let refused = 0;

  /** Timing records name the device alone: of a key that two IMEIs have, whose they are is not known. */
  function noteHolder(device: DeviceKey, imei: string): void {
    const other = imeis.get(device);
    if (other === undefined) imeis.set(device, imei);
    else if (other !== imei) shared.add(device);
  }

  function* finishHeld(): Generator<void> {
    let done = 0;
    for (const [imei, all] of byImei) {
      const own = all.filter(({ device }) => !shared.has(device));
      refused += all.length - own.length;
      byImei.set(imei, mergeWithKeys(own));
      done += 1;
      if (done % STEP === 0) yield;
    }
  }

  function* finishFormer(): Generator<void> {
    let done = 0;
    for (const { imei, device } of formerRows) {
      if (isKey<DeviceKey>(device, timing.deviceType) && !imeis.has(device)) {
        append(byImei, imei, withoutTime(device));
      }
      done += 1;
      if (done % STEP === 0) yield;
    }
  }

  return {
    add(row) {
      rows += 1;
      if (rows > MAX_ASSIGNMENTS) throw tooManyRows('devices_v1', MAX_ASSIGNMENTS);
      const assignment = readAssignment(row, timing, intern);
      if (assignment === null || row.imei === null) {
        refused += 1;
        return;
      }
      noteHolder(assignment.device, row.imei);
      append(byImei, row.imei, assignment);
    },
    addFormer(row) {
      formerRows.push(row);
    },
    *finish() {
      yield* finishHeld();
      yield* finishFormer();
      return { byImei, refused };
    },
  };
}

function readAssignment(
  { imei, device, subject, scope, from, to }: AssignmentViewRow,
  timing: TimingTable,
  intern: (text: string) => string,
): Assignment | null {
  if (imei === null || device === null) return null;
  if (!isKey<DeviceKey>(device, timing.deviceType)) return null;
  const place = { device, scope: scope === null ? null : intern(scope), from, to };
  // Without a column for them, subjects cannot be distinguished, and their assignments are one.
  if (subject === null || timing.subject === null) return { ...place, subject: null };
  return isKey<SubjectKey>(subject, timing.subject.type) ? { ...place, subject } : null;
}

function mergeWithKeys(own: Assignment[]): Assignment[] {
  const [first] = own;
  if (own.length === 1 && first !== undefined && first.from < first.to) return own;
  const merged = mergeAssignments(own);
  const missing = new Set(own.map(({ device }) => device));
  for (const { device } of merged) missing.delete(device);
  return [...merged, ...Array.from(missing, withoutTime)];
}

/**
 * An assignment that is never valid: nothing is evaluated for it, but timing records under its key are
 * found, and superseded.
 */
function withoutTime(device: DeviceKey): Assignment {
  return { device, subject: null, scope: null, from: -Infinity, to: -Infinity };
}

function append(map: Map<string, Assignment[]>, imei: string, assignment: Assignment): void {
  const held = map.get(imei);
  if (held === undefined) map.set(imei, [assignment]);
  else held.push(assignment);
}
