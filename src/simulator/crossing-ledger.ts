import { plans, type SimulatedGeofence } from './circuit-geofences.ts';
import type { Drive } from './drive.ts';
import type { SimulatedEntry } from './entry.ts';
import { type CrossingRules, crossingsOf, type ExpectedCrossing } from './expected-crossings.ts';

/** What a run must leave in the timing records. */
export interface ExpectedCrossings {
  readonly rules: CrossingRules;
  /** Keys of the geofences; timing records of other ones are not of this run. */
  readonly geofences: ReadonlySet<string>;
  readonly crossings: readonly ExpectedCrossing[];
}

/** A device that drives through geofences. */
export interface DrivingDevice {
  readonly deviceId: string;
  readonly drive: Drive;
  /** The geofences of its circuit, in the order of `plans`. */
  readonly geofences: readonly SimulatedGeofence[];
  /** Whether the owner's tables assign it; else its drive must leave nothing. */
  readonly isRegistered: boolean;
}

/** Notes which usable fixes were sent, so that it is known what can be found of each drive. */
export interface CrossingLedger {
  /** Notes an entry that is in the stream. */
  add(entry: SimulatedEntry): void;
  expected(): ExpectedCrossings;
}

/** The defaults of DOMAIN_MAX_HOP and DOMAIN_MIN_SATELLITES. */
export const defaultCrossingRules: CrossingRules = { maxHopMs: 120_000, minSatellites: 4 };

/** Codec 7 sends floats, which are up to a metre apart at ±180°; the others 1e-7 degrees. */
const PLACE_ERROR_M = { float: 2, fixed: 0.05 } as const;

interface Sent {
  readonly fixes: number[];
  hasFloats: boolean;
}

export function createCrossingLedger(
  devices: Iterable<DrivingDevice>,
  rules: CrossingRules = defaultCrossingRules,
): CrossingLedger {
  const driving = new Map([...devices].map((device) => [device.deviceId, device]));
  const sent = new Map<string, Sent>();

  function sentBy(deviceId: string): Sent {
    const known = sent.get(deviceId) ?? { fixes: [], hasFloats: false };
    sent.set(deviceId, known);
    return known;
  }

  return {
    add({ records }) {
      for (const record of records) {
        if (record.kind !== 'position' || !driving.has(record.deviceId)) continue;
        const { fix, satellites } = record.content;
        if (!fix || (satellites ?? 0) < rules.minSatellites) continue;
        const known = sentBy(record.deviceId);
        known.fixes.push(record.ts);
        if (record.codec === '7') known.hasFloats = true;
      }
    },
    expected() {
      const devicesOf = [...driving.values()];
      const geofences = devicesOf.flatMap((device) => device.geofences.map(({ id }) => id));
      const crossings = devicesOf.flatMap((device) =>
        expectedOf(device, sentBy(device.deviceId), rules),
      );
      return { rules, geofences: new Set(geofences), crossings };
    },
  };
}

function expectedOf(
  { deviceId, drive, geofences, isRegistered }: DrivingDevice,
  sent: Sent,
  { maxHopMs }: CrossingRules,
): ExpectedCrossing[] {
  if (!isRegistered) return [];
  const fixes = [...new Set(sent.fixes)].sort((a, b) => a - b);
  const placeErrorM = sent.hasFloats ? PLACE_ERROR_M.float : PLACE_ERROR_M.fixed;
  const { isUniform } = drive;
  return plans.flatMap((_, index) => {
    const visits = drive.visits.filter(({ geofence }) => geofence === index);
    const found = crossingsOf({ visits, fixes, isUniform, placeErrorM, maxHopMs });
    const geofence = geofences[index]?.id ?? '';
    return found.map((crossing) => ({ device: deviceId, geofence, ...crossing }));
  });
}
