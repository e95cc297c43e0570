/** `u` unsigned integer, `s` two's complement, `x` bytes kept as hex, `a` ASCII text. */
export type IoKindCode = 'u' | 's' | 'x' | 'a';

/** Values that a sensor sends in place of a measurement; see `specialValues`. */
export type SpecialSet = 'dallas' | 'dallas3000' | 'bleTemperature' | 'bleHumidity';

/**
 * One line of the dictionary: the IO id; the bytes on the wire (0: any length); the kind; the
 * multiplier as decimal text, null where it is not known; the unit; our name; the model families
 * it holds for; its special values.
 *
 * A family alone takes its source from the family's own page; `FT@FTC134` names the page of
 * another model of that family, where the family's page has no such element.
 */
export type IoRow = readonly [
  id: number,
  width: 0 | 1 | 2 | 4 | 8,
  kind: IoKindCode,
  scale: string | null,
  unit: string | null,
  name: string,
  families: string,
  special?: SpecialSet,
];

/**
 * Raw values that are words, not measurements, as the pages list them. The codes 2000, 3000 and
 * 4000 that older firmware has for Bluetooth temperatures are left out: at a multiplier of 0.01
 * they are 20, 30 and 40 °C.
 */
export const specialValues: Readonly<Record<SpecialSet, Readonly<Record<string, string>>>> = {
  dallas: {
    '850': 'sensor_not_ready',
    '2000': 'read_error',
    '3000': 'not_connected',
    '4000': 'id_failed',
    '5000': 'sensor_not_ready',
  },
  dallas3000: { '3000': 'sensor_error' },
  bleTemperature: {
    '32765': 'sensor_abnormal',
    '32766': 'parse_failed',
    '32767': 'sensor_not_found',
  },
  // Two editions of the page give two sets; both lie far above 100 %.
  bleHumidity: {
    '32733': 'sensor_abnormal',
    '32734': 'parse_failed',
    '32735': 'sensor_not_found',
    '65533': 'sensor_abnormal',
    '65534': 'parse_failed',
    '65535': 'sensor_not_found',
  },
};
