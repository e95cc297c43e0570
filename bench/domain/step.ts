import { candidatesOf } from '../../src/domain/candidates.ts';
import { derive } from '../../src/domain/derive.ts';
import { readGeofence } from '../../src/domain/geofence.ts';
import { type GeofenceIndex, indexGeofences } from '../../src/domain/geofence-index.ts';
import { liveCrossings } from '../../src/domain/live-crossings.ts';
import { recompute } from '../../src/domain/recompute.ts';
import type { Assignment, DeviceKey, Fix, GeofenceId } from '../../src/domain/types.ts';
import { type Window, windowOf } from '../../src/domain/window.ts';
import { createRandom } from '../../src/simulator/random.ts';
import type { Figures } from '../figures.ts';
import { country, geofenceShapes } from './geofences.ts';

const geofenceCounts = [0, 10, 1_000, 100_000] as const;
const marginM = 20;
const fixesEach = 300_000;
const fixesInWindow = 10;
const everyMs = 10_000;
const validity = { from: -Infinity, to: Infinity };
const options = { maxHopMs: 120_000, maxSilenceMs: 7 * 86_400_000 };

/** Node's CPU for a fix, in windows of ten fixes of vehicles that move about a country, without SQL. */
export function stepCosts(figures: Figures): void {
  for (const count of geofenceCounts) {
    const index = indexOf(count);
    const windows = windowsOf(fixesEach / fixesInWindow);
    figures.note(
      `domain_step_${count}_us`,
      costOf(windows, (fixes) => stepOver(index, fixes)),
    );
    figures.note(
      `domain_window_${count}_us`,
      costOf(windows, (fixes) => recomputeOver(index, fixes)),
    );
  }
}

/** Microseconds of CPU a fix. */
function costOf(windows: readonly Fix[][], work: (fixes: readonly Fix[]) => void): number {
  for (const fixes of windows.slice(0, windows.length / 3)) work(fixes);
  const before = process.cpuUsage();
  for (const fixes of windows) work(fixes);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / fixesEach;
}

function indexOf(count: number): GeofenceIndex {
  const geofences = [...geofenceShapes(count)].map((shape, number) => {
    const id = String(number) as GeofenceId;
    const row = { id, scope: null, shape, radiusM: null, marginM, ...validity };
    const read = readGeofence(row, { maxVertices: 1_000 });
    if (!read.ok) throw new Error(`geofence ${id}: ${read.refusal}`);
    return read.geofence;
  });
  return indexGeofences(geofences);
}

/** Vehicles at random places; each hop up to 350 m. */
function windowsOf(count: number): Fix[][] {
  const random = createRandom(2);
  return Array.from({ length: count }, () => {
    let latitude = random.between(country.south, country.north);
    let longitude = random.between(country.west, country.east);
    return Array.from({ length: fixesInWindow + 1 }, (_, number) => {
      latitude += random.between(-0.0025, 0.0025);
      longitude += random.between(-0.004, 0.004);
      return { ts: number * everyMs, latitude, longitude };
    });
  });
}

const assignments: readonly Assignment[] = [
  { device: 'device' as DeviceKey, subject: null, scope: null, ...validity },
];

/** Candidates and step function alone. */
function stepOver(index: GeofenceIndex, fixes: readonly Fix[]): void {
  derive(fixes, candidatesOf(windowAt(fixes), index, assignments, []), options);
}

/** All that is computed of a window: keys of the timing records and reconciliation too. */
function recomputeOver(index: GeofenceIndex, fixes: readonly Fix[]): void {
  const window = windowAt(fixes);
  const evaluations = candidatesOf(window, index, assignments, []);
  recompute(window, evaluations, liveCrossings([]), options);
}

function windowAt([previous, ...fixes]: readonly Fix[]): Window {
  return windowOf(everyMs, fixesInWindow * everyMs, previous ?? null, fixes);
}
