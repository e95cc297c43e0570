import { ByteRange, type DeviceId, type Position } from '../core/types.ts';
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
import { encodeRows } from './position-arrays.ts';

type Value = string | ByteRange | number | boolean | null;

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

/** Names of the columns, for the column list of an INSERT. */
export const columnNames = positionColumns.map((column) => column.name).join(', ');

/**
 * Returns the select list that produces the batch's rows. There PostgreSQL reads all arrays in
 * parallel; unnest in FROM would first copy each array to a tuple store (measured: 0.9 µs more per
 * row, of 10).
 */
export function rowsOf(columns: readonly Column[]): string {
  return columns
    .map(({ name, type }, index) => `pg_catalog.unnest($${index + 1}::${type}[]) AS ${name}`)
    .join(', ');
}
const ordinal = 'pg_catalog.generate_series(1, pg_catalog.cardinality($1::text[])) AS ord';

/**
 * Inserts a batch and returns the ordinals (from 1) of the rows that already existed.
 * Two equal keys must not be in one batch: DO NOTHING would drop the second silently.
 * The condition on the number of rows is evaluated once, before the join: a batch of new rows, which
 * is the usual one, joins nothing.
 */
export const insertStatement = `
WITH inserted AS (
  INSERT INTO public.positions (${columnNames}) SELECT ${rowsOf(positionColumns)}
  ON CONFLICT (device_id, ts) DO NOTHING
  RETURNING device_id, ts
)
SELECT batch.ord::int4 AS ord
FROM (SELECT ${rowsOf(positionColumns.slice(0, 2))}, ${ordinal}) AS batch
LEFT JOIN inserted USING (device_id, ts)
WHERE inserted.ts IS NULL
  AND (SELECT pg_catalog.count(*) FROM inserted) < pg_catalog.cardinality($1::text[])`;

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
  return contentColumns.every(({ value }) => isSame(value(a), value(b)));
}

function isSame(a: Value, b: Value): boolean {
  if (a instanceof ByteRange || b instanceof ByteRange) return String(a) === String(b);
  return a === b;
}

const parameters = positionColumns.length;
const batch = `(SELECT ${rowsOf(positionColumns)}, ${ordinal}) AS batch`;
// Explicit bounds exclude chunks; without them one lookup took 1.1 s on compressed chunks.
const bounds = `stored.ts >= $${parameters + 1}::timestamptz AND stored.ts <= $${parameters + 2}::timestamptz`;

/**
 * Compares rows with the rows stored under their keys; returns `ord` and `same` for each that exists.
 * LIMIT 1 forces one primary-key probe per row, whatever the planner's statistics: its own plan read
 * every row of the batch's devices (measured: 6.5 µs per row for the probes, 37 µs for its own plan
 * in a chunk of 100,000 rows, and more in a larger one).
 */
export const compareStatement = `
SELECT batch.ord::int4 AS ord, found.same
FROM ${batch}
CROSS JOIN LATERAL (
  SELECT (${sameContent}) AS same FROM public.positions AS stored
  WHERE stored.device_id = batch.device_id AND stored.ts = batch.ts AND ${bounds}
  LIMIT 1
) AS found`;

const comparedColumns = positionColumns
  .filter(({ name }) => name !== 'codec')
  .map(({ name }) => `stored.${name}`)
  .join(', ');

/**
 * The same comparison for chunks that may be compressed, where one probe per row would decompress one
 * segment per row. Each device is read once, and only the time of its rows in the batch: segments are
 * found by index, and rows outside that time leave the scan before the join. OFFSET 0 keeps the
 * planner from another order: it expects few rows of a compressed chunk, and sorted all rows of the
 * batch's time (5,000 rows of 500 devices, 600 rows of each stored: see decision 0069).
 */
export const compareCompressedStatement = `
SELECT batch.ord::int4 AS ord, (${sameContent}) AS same
FROM (
  SELECT pg_catalog.unnest($${parameters + 3}::text[]) AS device_id,
         pg_catalog.unnest($${parameters + 4}::timestamptz[]) AS earliest,
         pg_catalog.unnest($${parameters + 5}::timestamptz[]) AS latest
) AS device
CROSS JOIN LATERAL (
  SELECT ${comparedColumns} FROM public.positions AS stored
  WHERE stored.device_id = device.device_id
    AND stored.ts >= device.earliest AND stored.ts <= device.latest AND ${bounds}
  OFFSET 0
) AS stored
JOIN ${batch} ON batch.device_id = stored.device_id AND batch.ts = stored.ts`;

/** Encodes the parameters of `compareStatement` for at least one row. */
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

/** Encodes the parameters of `compareCompressedStatement` for at least one row. */
export function encodeCompressedComparison(rows: readonly Position[]): (Buffer | string)[] {
  const ranges = [...rangesOf(rows)];
  return [
    ...encodeComparison(rows),
    encodeAsciiText(ranges, ([device]) => device),
    encodeTimestamps(ranges, ([, { earliest }]) => earliest),
    encodeTimestamps(ranges, ([, { latest }]) => latest),
  ];
}

/** The time of each device's rows. */
function rangesOf(rows: readonly Position[]): Map<DeviceId, { earliest: number; latest: number }> {
  const ranges = new Map<DeviceId, { earliest: number; latest: number }>();
  for (const { deviceId, ts } of rows) {
    const range = ranges.get(deviceId);
    if (range === undefined) ranges.set(deviceId, { earliest: ts, latest: ts });
    else if (ts < range.earliest) range.earliest = ts;
    else if (ts > range.latest) range.latest = ts;
  }
  return ranges;
}

/** Encodes the columns of the rows as statement parameters. */
export function encodePositions(rows: readonly Position[]): Buffer[] {
  return encodeRows(rows);
}
