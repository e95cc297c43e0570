import type pg from 'pg';
import { crossingId } from '../../src/domain/crossing-id.ts';
import type { Crossing, Fix } from '../../src/domain/types.ts';
import { insertGeofence } from '../../tools/domain-fixture.ts';

/** The centre of the geofence that the drive goes through. */
const [longitude, latitude] = [25, 54];
const metresPerDegree = 111_195 * Math.cos((latitude * Math.PI) / 180);

/** A circle of 200 m around the middle of the drive, without a margin. */
export function insertCircle(client: pg.ClientBase): Promise<string> {
  const shape = { type: 'Point', coordinates: [longitude, latitude] };
  return insertGeofence(client, { shape, radiusM: 200, marginM: 0 });
}

/** A straight drive from west to east through the circle: a fix every 10 s and 100 m. */
export function driveFrom(start: number, fixes = 21): Fix[] {
  return [...Array(fixes).keys()].map((index) => ({
    ts: start + index * 10_000,
    latitude,
    longitude: longitude + ((index - 10) * 100) / metresPerDegree,
  }));
}

export async function insertFixes(
  client: pg.ClientBase,
  imei: string,
  fixes: readonly Fix[],
): Promise<void> {
  await client.query(
    `INSERT INTO public.positions (device_id, ts, latitude, longitude, satellites, priority, fix, codec, attributes)
     SELECT $1, to_timestamp(ts / 1000), latitude, longitude, 9, 0, true, '8', '{}'
       FROM unnest($2::float8[], $3::float8[], $4::float8[]) AS fixes (ts, latitude, longitude)`,
    [
      imei,
      fixes.map(({ ts }) => ts),
      fixes.map((fix) => fix.latitude),
      fixes.map((fix) => fix.longitude),
    ],
  );
}

/** Stores timing records as the worker does. */
export async function insertRecord(client: pg.ClientBase, crossing: Crossing): Promise<void> {
  const time = (ms: number | null) => (ms === null ? null : new Date(ms));
  await client.query(
    `INSERT INTO public.timing_records (id, device, geofence, vehicle, direction, at, before_ts, after_ts,
       method, source, date_created)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'processor', now())`,
    [
      crossingId(crossing),
      crossing.device,
      crossing.geofence,
      crossing.subject,
      crossing.direction,
      time(crossing.at),
      time(crossing.beforeTs),
      time(crossing.afterTs),
      crossing.method,
    ],
  );
}

/** Empties the outbox, as a worker does. */
export function emptyOutbox(client: pg.ClientBase) {
  return client.query('DELETE FROM positions.outbox');
}
