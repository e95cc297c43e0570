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

type Value = string | number | boolean | null;

interface Column {
  readonly name: string;
  readonly type: string;
  readonly value: (row: Position) => Value;
  readonly encode: (rows: readonly Position[]) => Buffer;
}

function column<ColumnValue extends Value>(
  name: string,
  type: string,
  value: (row: Position) => ColumnValue,
  encode: (rows: readonly Position[], value: (row: Position) => ColumnValue) => Buffer,
): Column {
  return { name, type, value, encode: (rows) => encode(rows, value) };
}

/** The columns the writer fills, in statement order. `ingested_at` is the database's own. */
export const positionColumns: readonly Column[] = [
  column('device_id', 'text', (row) => row.deviceId, encodeAsciiText),
  column('ts', 'timestamptz', (row) => row.ts, encodeTimestamps),
  column('latitude', 'float8', (row) => row.latitude, encodeFloat8),
  column('longitude', 'float8', (row) => row.longitude, encodeFloat8),
  column('altitude', 'int4', (row) => row.altitude, encodeInt4),
  column('angle', 'float4', (row) => row.angle, encodeFloat4),
  column('speed', 'int4', (row) => row.speed, encodeInt4),
  column('satellites', 'int2', (row) => row.satellites, encodeInt2),
  column('priority', 'int2', (row) => row.priority, encodeInt2),
  column('fix', 'bool', (row) => row.fix, encodeBool),
  column('event_io_id', 'int4', (row) => row.eventIoId, encodeInt4),
  column('generation_type', 'int2', (row) => row.generationType, encodeInt2),
  column('codec', 'text', (row) => row.codec, encodeAsciiText),
  column('attributes', 'jsonb', (row) => row.attributes, encodeAsciiJsonb),
];

/** Their names, for the column list of an INSERT. */
export const columnNames = positionColumns.map((column) => column.name).join(', ');

/**
 * The batch's rows, from the columns' parameters: unnest in the select list, where PostgreSQL walks
 * all arrays in step. In FROM it first puts each of them into a store of its own (measured: 0.9 µs
 * more a row, of 10).
 */
export function rowsOf(columns: readonly Column[]): string {
  return columns
    .map(({ name, type }, index) => `pg_catalog.unnest($${index + 1}::${type}[]) AS ${name}`)
    .join(', ');
}
const ordinal = 'pg_catalog.generate_series(1, pg_catalog.cardinality($1::text[])) AS ord';

/**
 * Inserts a batch and answers the ordinals (from 1) of the rows that were already there.
 * Two equal keys must not be in one batch: DO NOTHING would drop the second silently.
 */
export const insertStatement = `
WITH inserted AS (
  INSERT INTO public.positions (${columnNames}) SELECT ${rowsOf(positionColumns)}
  ON CONFLICT (device_id, ts) DO NOTHING
  RETURNING device_id, ts
)
SELECT batch.ord::int4 AS ord
FROM (SELECT ${rowsOf(positionColumns.slice(0, 2))}, ${ordinal}) AS batch
LEFT JOIN inserted USING (device_id, ts) WHERE inserted.ts IS NULL`;

// codec says how a record was carried, not what it says: a device that switches to codec 8E
// resends the same record in it (decision 0003).
const notContent: readonly string[] = ['device_id', 'ts', 'codec'];
const contentColumns = positionColumns.filter(({ name }) => !notContent.includes(name));
const sameContent = contentColumns
  .map(({ name }) => `stored.${name} IS NOT DISTINCT FROM batch.${name}`)
  .join(' AND ');

/**
 * Whether two rows of one key have the same content, value by value. False does not mean that they
 * differ: PostgreSQL's own comparison decides then (attributes in another order, float4).
 */
export function hasSameValues(a: Position, b: Position): boolean {
  return contentColumns.every(({ value }) => value(a) === value(b));
}

const parameters = positionColumns.length;
const batch = `(SELECT ${rowsOf(positionColumns)}, ${ordinal}) AS batch`;
// Explicit, so that chunks are left out; without them one look-up took 1.1 s on compressed chunks.
const bounds = `stored.ts >= $${parameters + 1}::timestamptz AND stored.ts <= $${parameters + 2}::timestamptz`;

/**
 * Compares rows with what is stored under their keys: answers `ord` and `same` for each that is
 * there. One probe of the primary key a row, whatever the planner believes of the table: left to
 * itself it read every row of the batch's devices (measured: 6.5 µs a row for the probes, 37 µs for
 * its own plan in a chunk of 100,000 rows, and more in a larger one).
 */
export const compareStatement = `
SELECT batch.ord::int4 AS ord, found.same
FROM ${batch}
CROSS JOIN LATERAL (
  SELECT (${sameContent}) AS same FROM public.positions AS stored
  WHERE stored.device_id = batch.device_id AND stored.ts = batch.ts AND ${bounds}
  LIMIT 1
) AS found`;

/**
 * The same where chunks may be compressed: a probe a row would decompress a segment a row. The
 * devices ($17), where it is few of them, keep the other devices' segments compressed: 5.3 s became
 * 0.9 s for 5,000 rows of one device. NULL where it is many: then it helps no more.
 */
export const compareCompressedStatement = `
SELECT batch.ord::int4 AS ord, (${sameContent}) AS same
FROM ${batch}
JOIN public.positions AS stored ON stored.device_id = batch.device_id AND stored.ts = batch.ts
WHERE ${bounds}
  AND ($${parameters + 3}::text[] IS NULL OR stored.device_id = ANY ($${parameters + 3}::text[]))`;

/** Rows a device from which the devices are named. */
const rowsADevice = 10;

/** The parameters of `compareStatement` for at least one row. */
export function encodeComparison(rows: readonly Position[]): (Buffer | string)[] {
  let earliest = Number.POSITIVE_INFINITY;
  let latest = Number.NEGATIVE_INFINITY;
  for (const { ts } of rows) {
    if (ts < earliest) earliest = ts;
    if (ts > latest) latest = ts;
  }
  return [
    ...encodePositions(rows),
    new Date(earliest).toISOString(),
    new Date(latest).toISOString(),
  ];
}

/** The parameters of `compareCompressedStatement` for at least one row. */
export function encodeCompressedComparison(rows: readonly Position[]): (Buffer | string | null)[] {
  const devices = new Set<DeviceId>();
  for (const { deviceId } of rows) devices.add(deviceId);
  const isFew = devices.size * rowsADevice <= rows.length;
  const named = isFew ? encodeAsciiText([...devices], (device) => device) : null;
  return [...encodeComparison(rows), named];
}

/** The rows' columns as statement parameters. */
export function encodePositions(rows: readonly Position[]): Buffer[] {
  return positionColumns.map((column) => column.encode(rows));
}
