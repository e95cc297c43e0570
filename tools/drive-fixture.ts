/** Enters what a simulated fleet drives through into the collections of tools/domain-fixture.ts. */
import type pg from 'pg';
import { uuidOf } from '../src/simulator/circuit-geofences.ts';
import type { GeofenceFile } from '../src/simulator/geofence-file.ts';

/**
 * Inserts the geofences of the fleet's circuits and, for registered devices, the device, its vehicle
 * and an assignment that holds from 2000 on.
 */
export async function insertDrives(
  client: Pick<pg.ClientBase, 'query'>,
  { geofences, devices }: GeofenceFile,
): Promise<void> {
  await client.query(
    `INSERT INTO public.geofences (id, name, status, shape, radius_m, margin_m, date_created)
     SELECT id, name, 'published', shape::json, radius_m, margin_m, now()
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::real[], $5::real[])
         AS geofence (id, name, shape, radius_m, margin_m)`,
    [
      geofences.map(({ id }) => id),
      geofences.map(({ name }) => name),
      geofences.map(({ shape }) => JSON.stringify(shape)),
      geofences.map(({ radius_m: radius }) => radius),
      geofences.map(({ margin_m: margin }) => margin),
    ],
  );
  const keys = ['vehicle', 'device', 'assignment'].map((kind) =>
    devices.map((imei) => uuidOf(`${kind} ${imei}`)),
  );
  await client.query(
    `WITH entered AS (
       SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::uuid[])
         AS one (imei, vehicle, device, assignment)
     ), vehicle AS (
       INSERT INTO public.vehicles (id, name, date_created)
       SELECT vehicle, 'vehicle of ' || imei, now() FROM entered
     ), device AS (
       INSERT INTO public.devices (id, imei, model, date_created)
       SELECT device, imei, 'FMB120', now() FROM entered
     )
     INSERT INTO public.device_assignments (id, device, vehicle, valid_from, date_created)
     SELECT assignment, device, vehicle, '2000-01-01T00:00:00Z', now() FROM entered`,
    [devices, ...keys],
  );
}
