/** Rows of the contract's views, as they are read. Types only. */

import type { Validity } from './types.ts';

/** A row of `geofences_v1`; the validity is in epoch milliseconds, rounded up. */
export interface GeofenceViewRow extends Validity {
  readonly geofence: string | null;
  readonly scope: string | null;
  /** GeoJSON text; null: none, or too large to be read. */
  readonly shape: string | null;
  readonly isShapeTooLarge: boolean;
  readonly radiusM: number | null;
  readonly marginM: number | null;
}

/** A row of `devices_v1`. */
export interface AssignmentViewRow extends Validity {
  readonly imei: string | null;
  readonly device: string | null;
  readonly subject: string | null;
  readonly scope: string | null;
}

/** A key that the device had before its assignment was removed from the view. */
export interface FormerDeviceRow {
  readonly imei: string;
  readonly device: string;
}

/** A row of `ignored_v1`. */
export interface IgnoredViewRow extends Validity {
  readonly imei: string | null;
}
