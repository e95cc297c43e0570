/** The words of the domain. Types only. */

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** Key of a geofence in Directus, as text whatever its column's type. */
export type GeofenceId = Branded<'GeofenceId'>;
/** Key of a device in Directus, as text; not the IMEI. */
export type DeviceKey = Branded<'DeviceKey'>;
/** Key of what a device is assigned to, a vehicle or a race entry, as text. */
export type SubjectKey = Branded<'SubjectKey'>;

/** Half open, epoch milliseconds: `from` counts, `to` does not. */
export interface Validity {
  /** -Infinity: always was. */
  readonly from: number;
  /** Infinity: no end is known. */
  readonly to: number;
}

/** A usable fix: it has a position, enough satellites, and lies in no ignored range. */
export interface Fix {
  /** Epoch milliseconds. */
  readonly ts: number;
  /** Degrees WGS 84. */
  readonly latitude: number;
  readonly longitude: number;
}

/** What a device is assigned to, and when. `scope` limits it to geofences of the same scope. */
export interface Assignment extends Validity {
  readonly device: DeviceKey;
  readonly subject: SubjectKey | null;
  readonly scope: string | null;
}

export const directions = ['enter', 'exit'] as const;
export type Direction = (typeof directions)[number];

export const methods = ['interpolated', 'passed', 'gap', 'first_fix', 'ended'] as const;
/**
 * How a crossing was found. `interpolated`: on the hop between two fixes. `passed`: both fixes are
 * outside and the hop between them cuts the shape. `gap`: the fixes are too far apart in time to
 * interpolate. `first_fix`: no fix before is known. `ended`: the validity ended while inside.
 */
export type Method = (typeof methods)[number];

/** One crossing of one geofence by one device: the content of a timing record. */
export interface Crossing {
  readonly device: DeviceKey;
  readonly geofence: GeofenceId;
  readonly subject: SubjectKey | null;
  readonly direction: Direction;
  /** Epoch milliseconds. */
  readonly at: number;
  /** The fixes between which it happened; `beforeTs` is null when no fix before is known. */
  readonly beforeTs: number | null;
  readonly afterTs: number;
  readonly method: Method;
  /** Where it happened, degrees, rounded to the 1e-7 degrees that trackers send. */
  readonly latitude: number;
  readonly longitude: number;
}

/** A crossing with the key of its timing record. */
export interface KeyedCrossing extends Crossing {
  readonly id: string;
}

/**
 * A timing record of this service that is not superseded. Its coordinates are not needed, because its
 * key names its content.
 */
export type LiveCrossing = Omit<KeyedCrossing, 'latitude' | 'longitude'>;

export interface DomainOptions {
  /** Two fixes farther apart than this are not interpolated. */
  readonly maxHopMs: number;
  /** A fix longer ago than this is not known any more (REHYDRATE_HORIZON). */
  readonly maxSilenceMs: number;
}
