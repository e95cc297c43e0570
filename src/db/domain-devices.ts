import type pg from 'pg';

type Client = Pick<pg.ClientBase, 'query'>;

/** Devices that the views assign; of one geofence, those that it is evaluated for. */
export interface AssignedFilter {
  /** Null: any. */
  readonly geofence: string | null;
}

const assigned = `
  SELECT DISTINCT assigned.imei::text AS imei FROM processor_contract.devices_v1 AS assigned
   WHERE assigned.imei ~ '^[0-9]{15}$' AND ($1::text IS NULL OR EXISTS (
     SELECT FROM processor_contract.geofences_v1 AS geofence
      WHERE geofence.geofence = $1 AND (geofence.scope IS NULL OR geofence.scope = assigned.scope)))`;

export async function countAssigned(client: Client, { geofence }: AssignedFilter): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM (${assigned}) AS devices`,
    [geofence],
  );
  return rows[0]?.count ?? 0;
}

/** IMEIs in their order. */
export async function readAssigned(
  client: Client,
  { geofence }: AssignedFilter,
  limit: number,
): Promise<string[]> {
  const { rows } = await client.query<{ imei: string }>(`${assigned} ORDER BY imei LIMIT $2`, [
    geofence,
    limit,
  ]);
  return rows.map(({ imei }) => imei);
}

export async function hasGeofence(client: Client, geofence: string): Promise<boolean> {
  const { rowCount } = await client.query(
    'SELECT FROM processor_contract.geofences_v1 WHERE geofence = $1 LIMIT 1',
    [geofence],
  );
  return rowCount === 1;
}

/** How many of these devices have ranges in the outbox or are parked. */
export async function countWaiting(client: Client, devices: readonly string[]): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM (
       SELECT device_id FROM positions.outbox WHERE device_id = ANY ($1::text[])
       UNION SELECT device_id FROM positions.outbox_parked WHERE device_id = ANY ($1::text[])) AS waiting`,
    [devices],
  );
  return rows[0]?.count ?? 0;
}

/** Epoch milliseconds, both included; `to` may be Infinity. */
export interface EnqueuedRange {
  readonly from: number;
  readonly to: number;
}

/** Adds a range of one device to the outbox. */
export async function enqueueDevice(
  client: Client,
  device: string,
  { from, to }: EnqueuedRange,
): Promise<number> {
  const { rowCount } = await client.query(
    `INSERT INTO positions.outbox (device_id, from_ts, to_ts)
     VALUES ($1, to_timestamp($2::float8 / 1000), to_timestamp($3::float8 / 1000))`,
    [device, from, to],
  );
  return rowCount ?? 0;
}

/** Adds a range of each assigned device to the outbox. @returns how many devices */
export async function enqueueAssigned(
  client: Client,
  { geofence }: AssignedFilter,
  { from, to }: EnqueuedRange,
): Promise<number> {
  const { rowCount } = await client.query(
    `INSERT INTO positions.outbox (device_id, from_ts, to_ts)
     SELECT imei, to_timestamp($2::float8 / 1000), to_timestamp($3::float8 / 1000)
       FROM (${assigned}) AS devices`,
    [geofence, from, to],
  );
  return rowCount ?? 0;
}

/** The ranges of one device in the outbox. */
export interface QueuedRanges {
  readonly rows: number;
  /** Milliseconds; null in all three: there are none. */
  readonly oldestMs: number | null;
  readonly from: number | null;
  readonly to: number | null;
}

export async function readQueuedRanges(client: Client, device: string): Promise<QueuedRanges> {
  const { rows } = await client.query<QueuedRanges>(
    `SELECT count(*)::int AS rows,
            (extract(epoch FROM clock_timestamp() - min(enqueued_at)) * 1000)::float8 AS "oldestMs",
            (extract(epoch FROM min(from_ts)) * 1000)::float8 AS from,
            (extract(epoch FROM max(to_ts)) * 1000)::float8 AS to
       FROM positions.outbox WHERE device_id = $1`,
    [device],
  );
  return rows[0] ?? { rows: 0, oldestMs: null, from: null, to: null };
}
