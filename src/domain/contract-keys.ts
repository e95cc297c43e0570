import type { DeviceKey, GeofenceId, SubjectKey } from './types.ts';

/** Types of key columns that the contract accepts; Directus makes uuid, integer, bigint and varchar. */
export const keyTypes = [
  'uuid',
  'smallint',
  'integer',
  'bigint',
  'text',
  'character varying',
] as const;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const INTEGER = /^(0|-?[1-9]\d{0,18})$/;

const integerLimits: Readonly<Record<string, bigint>> = {
  smallint: 2n ** 15n,
  integer: 2n ** 31n,
  bigint: 2n ** 63n,
};

/**
 * Whether a key of the views is the text that PostgreSQL gives for a value of the column's type.
 * Any other text could not be stored, or would be read back as another text than the one that
 * crossings are compared by.
 */
export function isKey<Key extends GeofenceId | DeviceKey | SubjectKey>(
  text: string,
  type: string,
): text is Key {
  if (type === 'uuid') return UUID.test(text);
  const limit = integerLimits[type];
  if (limit === undefined) return text !== '';
  if (!INTEGER.test(text)) return false;
  const value = BigInt(text);
  return value >= -limit && value < limit;
}
