import type pg from 'pg';
import {
  createDirectus,
  insertAssignment,
  insertDevice,
  insertGeofence,
  insertVehicle,
} from '../../tools/domain-fixture.ts';
import { type Figures, percentile } from '../figures.ts';
import { latenciesOf, send } from '../latency.ts';
import { makeLoad } from '../rows.ts';
import { untilDrained } from '../service.ts';
import type { Stand } from '../stand.ts';
import { insertGeofences } from './contract.ts';
import { untilComputed, withClient } from './drives.ts';
import { startOne } from './worker.ts';

const devices = 300;
const intervalS = 10;
const dayS = 86_400;
const rate = 1_000;
const secondsEach = 30;
const centre = { longitude: 25.07, latitude: 54.9 } as const;
const firstDevice = 360_000_000_000_000;
/** Those of the case, not those that ingestion stores meanwhile. */
const drivers = '360%';
/** A round of 18 km an hour, as a vehicle of a service has it. */
const roundS = 3_600;
const geofencesInAll = 1_000;

/**
 * A geofence that 300 devices drove through for days is edited: how long until all timing records
 * follow, and what ingestion takes from XADD to commit meanwhile.
 */
export async function editCase(
  stand: Stand,
  days: number,
  baseTime: number,
  figures: Figures,
): Promise<void> {
  const url = await stand.freshTable();
  const geofence = await withClient(url, (client) => enter(client, days));
  await stand.redis.flushall();
  const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: url };
  const service = await startOne({ ...env, DOMAIN: 'on', DOMAIN_SUBJECT_COLUMN: 'vehicle' });
  const count = rate * secondsEach;
  const load = makeLoad('a', 1, 2 * count, baseTime);
  await untilComputed(url, service);
  const quiet = await send(stand, load, rate, count);
  await untilDrained(stand.redis);
  await untilComputed(url, service);

  const began = performance.now();
  const before = await withClient(url, (client) => seenAs(client, geofence));
  await withClient(url, (client) => grow(client, geofence));
  const sending = send(stand, load, rate, 2 * count, count);
  await withClient(url, (client) => untilNot(client, geofence, before));
  await untilComputed(url, service, drivers);
  figures.note('domain_edit_s', (performance.now() - began) / 1000);
  const during = await sending;
  await untilDrained(stand.redis);
  await untilComputed(url, service);
  await service.end('SIGTERM');
  figures.note('domain_edit_fixes', (devices * days * dayS) / intervalS);
  figures.note('domain_ingestion_quiet_p95_ms', percentile(await latenciesOf(url, quiet), 0.95));
  figures.note('domain_ingestion_edit_p95_ms', percentile(await latenciesOf(url, during), 0.95));
}

/** Collections, devices, 1,000 geofences, and positions that end now. @returns the geofence on the way */
async function enter(client: pg.Client, days: number): Promise<string> {
  await createDirectus(client);
  const vehicle = await insertVehicle(client, 'vehicle');
  const validFrom = new Date(Date.now() - 2 * days * dayS * 1000);
  for (let number = 0; number < devices; number += 1) {
    const device = await insertDevice(client, String(firstDevice + number));
    await insertAssignment(client, device, vehicle, { validFrom });
  }
  await client.query(
    `INSERT INTO public.positions (device_id, ts, latitude, longitude, altitude, angle, speed, satellites,
                                   priority, fix, codec, attributes)
     SELECT (${firstDevice} + device)::text, date_trunc('second', now()) - interval '1 second' * ago,
            $1 + 0.026 * sin(2 * pi() * (ago + 37 * device) / ${roundS}),
            $2 + 0.045 * cos(2 * pi() * (ago + 37 * device) / ${roundS}), 100, 0, 18, 9, 0, true, '8E', '{}'
       FROM generate_series(${days * dayS}, ${intervalS}, -${intervalS}) AS ago,
            generate_series(0, ${devices - 1}) AS device
      ORDER BY 1, 2`,
    [centre.latitude, centre.longitude],
  );
  await insertGeofences(client, geofencesInAll - 1);
  const coordinates = [centre.longitude + 0.045, centre.latitude];
  const geofence = await insertGeofence(client, {
    shape: { type: 'Point', coordinates },
    radiusM: 300,
  });
  await client.query('VACUUM ANALYZE');
  return geofence;
}

async function grow(client: pg.Client, geofence: string): Promise<void> {
  await client.query(
    'UPDATE public.geofences SET radius_m = 400, date_updated = now() WHERE id = $1',
    [geofence],
  );
}

async function seenAs(client: pg.Client, geofence: string): Promise<string | undefined> {
  const { rows } = await client.query<{ hash: string }>(
    `SELECT encode(hash, 'hex') AS hash FROM positions.domain_seen
      WHERE kind = 'geofence' AND key = $1`,
    [geofence],
  );
  return rows[0]?.hash;
}

/** Waits until the service has noticed the edit, so that an empty outbox means that it is done. */
async function untilNot(
  client: pg.Client,
  geofence: string,
  before: string | undefined,
): Promise<void> {
  while ((await seenAs(client, geofence)) === before) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
