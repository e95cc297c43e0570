import { bluetoothRows } from './bluetooth.ts';
import { eventRows } from './event.ts';
import { type IoFamily, isIoFamily, pageModels, pageTitles } from './families.ts';
import { geofenceRows } from './geofence.ts';
import { refrigerationRows } from './refrigeration.ts';
import { type IoKindCode, type IoRow, specialValues } from './rows.ts';
import { trackerRows } from './tracker.ts';
import { vehicleRows } from './vehicle.ts';

export type IoKind = 'unsigned' | 'signed' | 'bytes' | 'text';

/** What an IO element of this id and width means on the models of one family. */
export interface IoElementMeaning {
  readonly id: number;
  readonly family: IoFamily;
  /** Bytes of the value on the wire; 0 for an element that brings its own length. */
  readonly width: IoRow[1];
  readonly kind: IoKind;
  readonly name: string;
  readonly unit: string | null;
  /** The multiplier as decimal text; null when it is not known, and the raw value must do. */
  readonly scale: string | null;
  /** Raw values that are words, such as `not_connected`. */
  readonly special: Readonly<Record<string, string>>;
  /** Title of the page on wiki.teltonika-gps.com. */
  readonly source: string;
}

const kinds: Readonly<Record<IoKindCode, IoKind>> = {
  u: 'unsigned',
  s: 'signed',
  x: 'bytes',
  a: 'text',
};

const noSpecialValues: IoElementMeaning['special'] = {};

export const ioRows: readonly IoRow[] = [
  ...trackerRows,
  ...eventRows,
  ...geofenceRows,
  ...bluetoothRows,
  ...vehicleRows,
  ...refrigerationRows,
];

/** A row as one meaning for each of its families. @throws when a row names an unknown family. */
export function meaningsOf(row: IoRow): IoElementMeaning[] {
  const [id, width, kind, scale, unit, name, families, special] = row;
  return families.split(' ').map((token): IoElementMeaning => {
    const [family = '', page] = token.split('@');
    if (!isIoFamily(family)) throw new RangeError(`IO ${id}: ${family} is no model family`);
    return {
      id,
      family,
      width,
      kind: kinds[kind],
      name,
      unit,
      scale,
      special: special === undefined ? noSpecialValues : specialValues[special],
      source: `${page ?? pageModels[family]} ${pageTitles[family]}`,
    };
  });
}
