import type pg from 'pg';
import type { DeviceId } from '../core/types.ts';
import type {
  BatchGround,
  QueuedRange,
  QueueSample,
  Range,
  Taken,
  TakeRequest,
} from '../domain/ports.ts';
import { oneRow } from './one-row.ts';

/** Class of the advisory locks on devices; the second key is a hash, so a collision only serialises. */
const deviceLocks = 0x70_72_64_6f;
/** Advisory lock of one compaction, on any instance. */
const compactionLock = [0x70_72_64_70, 1] as const;
/** Rows that one statement compacts. */
const compactedAtATime = 200_000;

/** Outwards to whole milliseconds: a larger range is right too. */
const rangeColumns = `
  pg_catalog.floor(extract(epoch FROM from_ts) * 1000)::float8 AS since,
  pg_catalog.ceil(extract(epoch FROM to_ts) * 1000)::float8 AS until`;

const selectOldest = `
SELECT id::text AS id, device_id AS device, ${rangeColumns}, enqueued_at::text AS "enqueuedAt",
       (extract(epoch FROM clock_timestamp() - enqueued_at) * 1000)::float8 AS "ageMs"
FROM positions.outbox
WHERE device_id <> ALL ($2::text[]) AND ($3::text IS NULL OR device_id = $3)
ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`;

/**
 * Takes the oldest rows of devices that no other worker has, and deletes them. A device stays locked
 * until the transaction ends. Rows that another worker holds are skipped, so that two never wait for
 * each other.
 */
export async function takeRows(client: pg.ClientBase, request: TakeRequest): Promise<Taken> {
  const { maxRows, maxDevices, only, excluded } = request;
  const { rows } = await client.query<QueuedRange>(selectOldest, [maxRows, [...excluded], only]);
  const devices = [...new Set(rows.map(({ device }) => device))].slice(0, maxDevices);
  if (devices.length === 0) return { ranges: [], busy: 0 };
  const locked = await lockDevices(client, devices);
  const ranges = rows.filter(({ device }) => locked.has(device));
  if (ranges.length > 0) {
    await client.query('DELETE FROM positions.outbox WHERE id = ANY ($1::bigint[])', [
      ranges.map(({ id }) => id),
    ]);
  }
  return { ranges, busy: devices.length - locked.size };
}

async function lockDevices(
  client: pg.ClientBase,
  devices: readonly DeviceId[],
): Promise<ReadonlySet<DeviceId>> {
  const { rows } = await client.query<{ device: DeviceId }>(
    `SELECT device FROM unnest($1::text[]) AS asked (device)
      WHERE pg_catalog.pg_try_advisory_xact_lock($2, pg_catalog.hashtext(device))`,
    [[...devices], deviceLocks],
  );
  return new Set(rows.map(({ device }) => device));
}

export async function readGround(client: pg.ClientBase): Promise<BatchGround> {
  const { rows } = await client.query<BatchGround>(
    `SELECT version::float8 AS version,
            EXISTS (SELECT FROM positions.domain_pause) AS "isPaused",
            (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs"
       FROM positions.domain_version`,
  );
  return oneRow(rows);
}

const rangesFrom = `unnest($1::text[], $2::float8[], $3::float8[], $4::text[])
  AS range (device, since, until, enqueued_at)`;

function valuesOf(ranges: readonly Range[]) {
  return [
    ranges.map(({ device }) => device),
    ranges.map(({ since }) => since),
    ranges.map(({ until }) => until),
    ranges.map(({ enqueuedAt }) => enqueuedAt),
  ];
}

/** Their age stays: they are as late as before. */
export async function putBack(client: pg.ClientBase, ranges: readonly Range[]): Promise<void> {
  if (ranges.length === 0) return;
  await client.query(
    `INSERT INTO positions.outbox (device_id, from_ts, to_ts, enqueued_at)
     SELECT device, to_timestamp(since / 1000), to_timestamp(until / 1000), enqueued_at::timestamptz
       FROM ${rangesFrom}`,
    valuesOf(ranges),
  );
}

export async function readParked(
  client: pg.ClientBase,
  devices: readonly DeviceId[],
): Promise<ReadonlySet<DeviceId>> {
  const { rows } = await client.query<{ device: DeviceId }>(
    'SELECT device_id AS device FROM positions.outbox_parked WHERE device_id = ANY ($1::text[])',
    [[...devices]],
  );
  return new Set(rows.map(({ device }) => device));
}

export async function addToParked(client: pg.ClientBase, ranges: readonly Range[]): Promise<void> {
  if (ranges.length === 0) return;
  await client.query(
    `UPDATE positions.outbox_parked AS parked
        SET from_ts = least(parked.from_ts, more.since), to_ts = greatest(parked.to_ts, more.until)
       FROM (SELECT device, to_timestamp(min(since) / 1000) AS since,
                    to_timestamp(max(until) / 1000) AS until
               FROM ${rangesFrom} GROUP BY device) AS more
      WHERE parked.device_id = more.device`,
    valuesOf(ranges),
  );
}

export async function readQueued(
  client: pg.ClientBase,
  devices: readonly DeviceId[],
): Promise<ReadonlySet<DeviceId>> {
  const { rows } = await client.query<{ device: DeviceId }>(
    'SELECT DISTINCT device_id AS device FROM positions.outbox WHERE device_id = ANY ($1::text[])',
    [[...devices]],
  );
  return new Set(rows.map(({ device }) => device));
}

/** Moves the rows of a device to the parked ones. @returns false: another worker has the device */
export async function parkDevice(
  client: pg.ClientBase,
  device: DeviceId,
  attempts: number,
  error: string,
): Promise<boolean> {
  if (!(await lockDevices(client, [device])).has(device)) return false;
  await client.query(
    `WITH gone AS (
       DELETE FROM positions.outbox WHERE device_id = $1 RETURNING from_ts, to_ts)
     INSERT INTO positions.outbox_parked AS parked (device_id, from_ts, to_ts, attempts, error)
     SELECT $1, min(from_ts), max(to_ts), $2, $3 FROM gone HAVING count(*) > 0
     ON CONFLICT (device_id) DO UPDATE SET
       from_ts = least(parked.from_ts, excluded.from_ts),
       to_ts = greatest(parked.to_ts, excluded.to_ts),
       attempts = excluded.attempts, error = excluded.error, parked_at = now()`,
    [device, attempts, error],
  );
  return true;
}

/** Counts at most `maxRows`: an outbox beyond its limit is not counted to its end. */
export async function sampleQueue(
  client: pg.ClientBase,
  maxRows: number,
): Promise<Omit<QueueSample, 'unknownDevices'>> {
  const { rows } = await client.query<Omit<QueueSample, 'unknownDevices'>>(
    `SELECT (SELECT count(*) FROM (SELECT FROM positions.outbox LIMIT $1) AS counted)::float8 AS rows,
            coalesce((SELECT extract(epoch FROM clock_timestamp() - enqueued_at) * 1000
                        FROM positions.outbox ORDER BY id LIMIT 1), 0)::float8 AS "oldestMs",
            (SELECT count(*) FROM positions.outbox_parked)::float8 AS "parkedDevices",
            EXISTS (SELECT FROM positions.domain_pause) AS "isPaused"`,
    [maxRows],
  );
  return oneRow(rows);
}

/**
 * Makes one range a device of the oldest rows; a superset of what they asked for. Rows that a worker
 * holds stay as they are. @returns null if another instance compacts
 */
export async function compactOutbox(
  client: pg.ClientBase,
): Promise<{ readonly before: number; readonly after: number } | null> {
  const lock = await client.query<{ got: boolean }>(
    'SELECT pg_catalog.pg_try_advisory_xact_lock($1, $2) AS got',
    [...compactionLock],
  );
  if (!oneRow(lock.rows).got) return null;
  const { rows } = await client.query<{ before: number; after: number }>(
    `WITH oldest AS MATERIALIZED (
       SELECT id FROM positions.outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED),
     gone AS (
       DELETE FROM positions.outbox WHERE id IN (SELECT id FROM oldest)
       RETURNING device_id, from_ts, to_ts, enqueued_at),
     merged AS (
       INSERT INTO positions.outbox (device_id, from_ts, to_ts, enqueued_at)
       SELECT device_id, min(from_ts), max(to_ts), min(enqueued_at) FROM gone GROUP BY device_id
       RETURNING 1)
     SELECT (SELECT count(*) FROM gone)::float8 AS before,
            (SELECT count(*) FROM merged)::float8 AS after`,
    [compactedAtATime],
  );
  return oneRow(rows);
}

/** @returns null if this role may not read the list of devices */
export async function countUnknownDevices(client: pg.ClientBase): Promise<number | null> {
  const may = await client.query<{ may: boolean }>(
    `SELECT pg_catalog.has_table_privilege('positions.devices', 'SELECT') AS may`,
  );
  if (!oneRow(may.rows).may) return null;
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::float8 AS count FROM positions.devices AS device
      WHERE NOT EXISTS (SELECT FROM positions.domain_seen AS seen
                         WHERE seen.kind = 'assignment' AND seen.hash <> ''::bytea
                           AND seen.imei = device.device_id)`,
  );
  return oneRow(rows).count;
}
