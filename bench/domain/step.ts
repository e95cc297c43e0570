import { candidatesOf } from '../../src/domain/candidates.ts';
import { readGeofence } from '../../src/domain/geofence.ts';
import { type GeofenceIndex, indexGeofences } from '../../src/domain/geofence-index.ts';
import { liveCrossings } from '../../src/domain/live-crossings.ts';
import { recompute } from '../../src/domain/recompute.ts';
import type { Assignment, DeviceKey, Fix, GeofenceId } from '../../src/domain/types.ts';
import { windowOf } from '../../src/domain/window.ts';
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

/**
 * Node's CPU for a fix: candidates by the index, step function and reconciliation, in windows of ten
 * fixes of vehicles that move about a country, without SQL.
 */
export function stepCosts(figures: Figures): void {
  for (const count of geofenceCounts) {
    const index = indexOf(count);
    const windows = windowsOf(fixesEach / fixesInWindow);
    run(index, windows.slice(0, windows.length / 3));
    const before = process.cpuUsage();
    run(index, windows);
    const { user, system } = process.cpuUsage(before);
    figures.note(`domain_step_${count}_us`, (user + system) / fixesEach);
  }
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

function run(index: GeofenceIndex, windows: readonly Fix[][]): void {
  for (const [previous = null, ...fixes] of windows) {
    const last = fixes.at(-1);
    if (last === undefined) continue;
    const window = windowOf(everyMs, last.ts, previous, fixes);
    const evaluations = candidatesOf(window, index, assignments, []);
    recompute(window, evaluations, liveCrossings([]), options);
  }
}
