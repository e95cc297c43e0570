import { writeFile } from 'node:fs/promises';
import type { DrivingDevice } from './crossing-ledger.ts';

/** What the owner of the tables enters before, or after, a fleet drives through its geofences. */
export interface GeofenceFile {
  readonly geofences: readonly {
    readonly id: string;
    readonly name: string;
    readonly shape: object;
    readonly radius_m: number | null;
    readonly margin_m: number;
  }[];
  /** IMEIs to assign; the fleet has others that are to stay unknown. */
  readonly devices: readonly string[];
}

/** The geofences of a fleet's circuits, each once, and the devices that are registered. */
export function geofenceFileOf(driving: readonly DrivingDevice[]): GeofenceFile {
  const byId = new Map(
    driving.flatMap(({ geofences }) => geofences.map((geofence) => [geofence.id, geofence])),
  );
  return {
    geofences: [...byId.values()].map(({ id, name, shape, radiusM, marginM }) => {
      return { id, name, shape, radius_m: radiusM, margin_m: marginM };
    }),
    devices: driving.filter((one) => one.isRegistered).map(({ deviceId }) => deviceId),
  };
}

/** Writes a new file; one that is there already is refused. */
export async function writeGeofences(
  path: string,
  driving: readonly DrivingDevice[],
): Promise<void> {
  try {
    const text = `${JSON.stringify(geofenceFileOf(driving))}\n`;
    await writeFile(path, text, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`the geofences could not be written: ${reason}`, { cause: error });
  }
}
