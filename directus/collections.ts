import type { Api } from './api.ts';

/** How the column `shape` holds GeoJSON: as a geometry where PostgreSQL has PostGIS. */
export type ShapeType = 'json' | 'geometry';

interface Field {
  readonly field: string;
  readonly type: string;
  readonly schema: Readonly<Record<string, unknown>>;
  readonly meta: Readonly<Record<string, unknown>>;
}

function column(field: string, type: string, schema: Field['schema'] = {}): Field {
  return { field, type, schema, meta: {} };
}

/** Required, in the form and in the table. */
function required(field: string, type: string, schema: Field['schema'] = {}): Field {
  return { field, type, schema: { ...schema, is_nullable: false }, meta: { required: true } };
}

function manyToOne(field: string): Field {
  return {
    field,
    type: 'uuid',
    schema: {},
    meta: { special: ['m2o'], interface: 'select-dropdown-m2o' },
  };
}

const key: Field = {
  field: 'id',
  type: 'uuid',
  schema: { is_primary_key: true, has_auto_increment: false },
  meta: { special: ['uuid'], readonly: true, hidden: true },
};

/** Directus' own times; `timestamp` is timestamptz, `dateTime` would have no zone. */
const stamps: readonly Field[] = [
  { ...column('date_created', 'timestamp'), meta: { special: ['date-created'], readonly: true } },
  { ...column('date_updated', 'timestamp'), meta: { special: ['date-updated'], readonly: true } },
];

/** Directus has no double precision, and its float is real: too coarse for degrees. */
const degrees = { numeric_precision: 10, numeric_scale: 7 };

function fieldsOf(shape: ShapeType): Readonly<Record<string, readonly Field[]>> {
  return {
    devices: [
      required('imei', 'string', { is_unique: true, max_length: 15 }),
      column('model', 'string'),
    ],
    vehicles: [column('name', 'string'), column('scope', 'string')],
    device_assignments: [
      manyToOne('device'),
      manyToOne('vehicle'),
      required('valid_from', 'timestamp'),
      column('valid_to', 'timestamp'),
    ],
    geofences: [
      column('name', 'string'),
      column('status', 'string', { default_value: 'draft' }),
      column('scope', 'string'),
      column('shape', shape),
      column('radius_m', 'float'),
      column('margin_m', 'float', { default_value: 20 }),
      column('valid_from', 'timestamp'),
      column('valid_to', 'timestamp'),
    ],
    ignored_ranges: [
      manyToOne('device'),
      required('valid_from', 'timestamp'),
      required('valid_to', 'timestamp'),
      column('reason', 'string'),
    ],
    timing_records: [
      manyToOne('device'),
      manyToOne('geofence'),
      manyToOne('vehicle'),
      required('direction', 'string'),
      required('at', 'timestamp'),
      column('before_ts', 'timestamp'),
      required('after_ts', 'timestamp'),
      column('method', 'string'),
      required('source', 'string', { default_value: 'manual' }),
      column('superseded_at', 'timestamp'),
      column('latitude', 'decimal', degrees),
      column('longitude', 'decimal', degrees),
    ],
  };
}

const relations = [
  ['device_assignments', 'device', 'devices'],
  ['device_assignments', 'vehicle', 'vehicles'],
  ['ignored_ranges', 'device', 'devices'],
  ['timing_records', 'device', 'devices'],
  ['timing_records', 'geofence', 'geofences'],
  ['timing_records', 'vehicle', 'vehicles'],
] as const;

export const collectionNames: readonly string[] = Object.keys(fieldsOf('json'));

/** Makes the collections of the contract, as a person would in the data model of Directus. */
export async function makeCollections(api: Api, shape: ShapeType): Promise<void> {
  for (const [collection, fields] of Object.entries(fieldsOf(shape))) {
    const all = [key, ...fields, ...stamps];
    await api.data('POST', '/collections', { collection, meta: {}, schema: {}, fields: all });
  }
  for (const [collection, field, related] of relations) {
    const schema = { on_delete: 'NO ACTION' };
    await api.data('POST', '/relations', {
      collection,
      field,
      related_collection: related,
      schema,
    });
  }
}
