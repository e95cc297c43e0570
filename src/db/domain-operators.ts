import type pg from 'pg';

type Client = Pick<pg.ClientBase, 'query'>;

/** A pause of the domain that an operator made. */
export interface DomainPause {
  readonly by: string;
  readonly reason: string;
  readonly since: Date;
}

/** @returns false: it was paused already, and keeps its reason */
export async function pauseDomain(
  client: Client,
  { by, reason }: Pick<DomainPause, 'by' | 'reason'>,
): Promise<boolean> {
  const { rowCount } = await client.query(
    'INSERT INTO positions.domain_pause (by_whom, reason) VALUES ($1, $2) ON CONFLICT DO NOTHING',
    [by, reason],
  );
  return rowCount === 1;
}

/** @returns the pause that ended; null: the domain was not paused */
export async function resumeDomain(client: Client): Promise<DomainPause | null> {
  const { rows } = await client.query<DomainPause>(
    'DELETE FROM positions.domain_pause RETURNING by_whom AS by, reason, since',
  );
  return rows[0] ?? null;
}

/** @returns null: the domain is not paused */
export async function readDomainPause(client: Client): Promise<DomainPause | null> {
  const { rows } = await client.query<DomainPause>(
    'SELECT by_whom AS by, reason, since FROM positions.domain_pause',
  );
  return rows[0] ?? null;
}

/** The ranges of a device that wait for an operator. */
export interface ParkedDevice {
  readonly device: string;
  /** Epoch milliseconds, both included; `to` may be Infinity. */
  readonly from: number;
  readonly to: number;
  readonly attempts: number;
  readonly error: string;
  readonly parkedAt: Date;
}

const selectParked = `
  SELECT device_id AS device, attempts, error, parked_at AS "parkedAt",
         (extract(epoch FROM from_ts) * 1000)::float8 AS from,
         (extract(epoch FROM to_ts) * 1000)::float8 AS to
    FROM positions.outbox_parked`;

/** Reads parked devices, the longest parked first. */
export async function readParked(client: Client, limit: number): Promise<ParkedDevice[]> {
  const { rows } = await client.query<ParkedDevice>(
    `${selectParked} ORDER BY parked_at, device_id LIMIT $1`,
    [limit],
  );
  return rows;
}

/** @returns null: the device is not parked */
export async function readParkedDevice(
  client: Client,
  device: string,
): Promise<ParkedDevice | null> {
  const { rows } = await client.query<ParkedDevice>(`${selectParked} WHERE device_id = $1`, [
    device,
  ]);
  return rows[0] ?? null;
}

/** @param device null: all */
export async function countParked(client: Client, device: string | null): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM positions.outbox_parked
      WHERE $1::text IS NULL OR device_id = $1`,
    [device],
  );
  return rows[0]?.count ?? 0;
}

/**
 * Returns parked ranges to the outbox, in one statement.
 * @param device null: of all devices
 * @returns how many devices
 */
export async function retryParked(client: Client, device: string | null): Promise<number> {
  const { rowCount } = await client.query(
    `WITH retried AS (
       DELETE FROM positions.outbox_parked WHERE $1::text IS NULL OR device_id = $1
       RETURNING device_id, from_ts, to_ts)
     INSERT INTO positions.outbox (device_id, from_ts, to_ts)
     SELECT device_id, from_ts, to_ts FROM retried`,
    [device],
  );
  return rowCount ?? 0;
}

/** What waits to be computed. */
export interface DomainQueue {
  readonly rows: number;
  readonly devices: number;
  /** Of the oldest row, milliseconds; null: the outbox is empty. */
  readonly oldestMs: number | null;
  readonly parkedDevices: number;
  readonly version: number;
}

/** Reads the state of the outbox in one statement. @throws the error of pg */
export async function readDomainQueue(client: Client): Promise<DomainQueue> {
  const { rows } = await client.query<DomainQueue>(`
    SELECT count(*)::int AS rows, count(DISTINCT device_id)::int AS devices,
           (extract(epoch FROM clock_timestamp() - min(enqueued_at)) * 1000)::float8 AS "oldestMs",
           (SELECT count(*)::int FROM positions.outbox_parked) AS "parkedDevices",
           (SELECT version::float8 FROM positions.domain_version) AS version
      FROM positions.outbox`);
  const [queue] = rows;
  if (queue === undefined) throw new TypeError('count(*) gives one row');
  return queue;
}
