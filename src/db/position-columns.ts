import type { DeviceId, Position } from '../core/types.ts';
import {
  encodeAsciiJsonb,
  encodeAsciiText,
  encodeBool,
  encodeFloat4,
  encodeFloat8,
  encodeInt2,
  encodeInt4,
  encodeTimestamps,
} from './binary-arrays.ts';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly encode: (rows: readonly Position[]) => Buffer;
}

/** The columns the writer fills, in statement order. `ingested_at` is the database's own. */
export const positionColumns: readonly Column[] = [
  {
    name: 'device_id',
    type: 'text',
    encode: (rows) => encodeAsciiText(rows, (row) => row.deviceId),
  },
  { name: 'ts', type: 'timestamptz', encode: (rows) => encodeTimestamps(rows, (row) => row.ts) },
  { name: 'latitude', type: 'float8', encode: (rows) => encodeFloat8(rows, (row) => row.latitude) },
  {
    name: 'longitude',
    type: 'float8',
    encode: (rows) => encodeFloat8(rows, (row) => row.longitude),
  },
  { name: 'altitude', type: 'int4', encode: (rows) => encodeInt4(rows, (row) => row.altitude) },
  { name: 'angle', type: 'float4', encode: (rows) => encodeFloat4(rows, (row) => row.angle) },
  { name: 'speed', type: 'int4', encode: (rows) => encodeInt4(rows, (row) => row.speed) },
  { name: 'satellites', type: 'int2', encode: (rows) => encodeInt2(rows, (row) => row.satellites) },
  { name: 'priority', type: 'int2', encode: (rows) => encodeInt2(rows, (row) => row.priority) },
  { name: 'fix', type: 'bool', encode: (rows) => encodeBool(rows, (row) => row.fix) },
  { name: 'event_io_id', type: 'int4', encode: (rows) => encodeInt4(rows, (row) => row.eventIoId) },
  {
    name: 'generation_type',
    type: 'int2',
    encode: (rows) => encodeInt2(rows, (row) => row.generationType),
  },
  { name: 'codec', type: 'text', encode: (rows) => encodeAsciiText(rows, (row) => row.codec) },
  {
    name: 'attributes',
    type: 'jsonb',
    encode: (rows) => encodeAsciiJsonb(rows, (row) => row.attributes),
  },
];

const names = positionColumns.map((column) => column.name).join(', ');
const arrays = positionColumns.map((column, index) => `$${index + 1}::${column.type}[]`).join(', ');
const batch = `unnest(${arrays}) WITH ORDINALITY AS batch (${names}, ord)`;

/**
 * Inserts a batch and answers the ordinals (from 1) of the rows that were already there.
 * Two equal keys must not be in one batch: DO NOTHING would drop the second silently.
 */
export const insertStatement = `
WITH batch AS MATERIALIZED (SELECT * FROM ${batch}),
inserted AS (
  INSERT INTO positions (${names}) SELECT ${names} FROM batch
  ON CONFLICT (device_id, ts) DO NOTHING
  RETURNING device_id, ts
)
SELECT batch.ord::int4 AS ord FROM batch LEFT JOIN inserted USING (device_id, ts) WHERE inserted.ts IS NULL`;

// codec says how a record was carried, not what it says: a device that switches to codec 8E
// resends the same record in it (decision 0003).
const content = positionColumns
  .map((column) => column.name)
  .filter((name) => !['device_id', 'ts', 'codec'].includes(name));
const sameContent = content
  .map((name) => `stored.${name} IS NOT DISTINCT FROM batch.${name}`)
  .join(' AND ');

const parameters = positionColumns.length;

/**
 * Compares rows with what is stored under their keys: answers `ord` and `same` for each that
 * is there. The explicit bounds on ts ($15, $16) let chunks be excluded; without them one
 * such look-up took 1.1 s on compressed chunks. The devices ($17), where it is few of them, keep
 * the other devices' segments of a compressed chunk compressed: 5.3 s became 0.9 s for 5,000 rows
 * of one device. NULL where it is many: then it helps no more, and spoils the plan of an
 * uncompressed chunk (25 ms became 144 ms).
 */
export const compareStatement = `
SELECT batch.ord::int4 AS ord, (${sameContent}) AS same
FROM ${batch}
JOIN positions AS stored ON stored.device_id = batch.device_id AND stored.ts = batch.ts
WHERE stored.ts >= $${parameters + 1}::timestamptz AND stored.ts <= $${parameters + 2}::timestamptz
  AND ($${parameters + 3}::text[] IS NULL OR stored.device_id = ANY ($${parameters + 3}::text[]))`;

/** Rows a device from which the devices are named. */
const rowsADevice = 10;

/** The parameters of `compareStatement` for at least one row. */
export function encodeComparison(rows: readonly Position[]): (Buffer | string | null)[] {
  let earliest = Number.POSITIVE_INFINITY;
  let latest = Number.NEGATIVE_INFINITY;
  const devices = new Set<DeviceId>();
  for (const { ts, deviceId } of rows) {
    if (ts < earliest) earliest = ts;
    if (ts > latest) latest = ts;
    devices.add(deviceId);
  }
  const isFew = devices.size * rowsADevice <= rows.length;
  return [
    ...encodePositions(rows),
    new Date(earliest).toISOString(),
    new Date(latest).toISOString(),
    isFew ? encodeAsciiText([...devices], (device) => device) : null,
  ];
}

/** The rows' columns as statement parameters. */
export function encodePositions(rows: readonly Position[]): Buffer[] {
  return positionColumns.map((column) => column.encode(rows));
}
