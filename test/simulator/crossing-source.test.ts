import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { checkCrossings } from '../../src/simulator/crossing-check.ts';
import { createCrossingLedger } from '../../src/simulator/crossing-ledger.ts';
import { createCrossingSource } from '../../src/simulator/crossing-source.ts';
import { createFleet } from '../../src/simulator/fleet.ts';
import { geofenceFileOf } from '../../src/simulator/geofence-file.ts';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { insertDrives } from '../../tools/drive-fixture.ts';
import { freshDatabase } from '../setup/database.ts';

const timing = { schema: 'public', name: 'timing_records' };

/** A drive whose expected crossings are stored as timing records, in the middle of their times. */
async function storedDrive() {
  const database = await freshDatabase();
  const client = new pg.Client(database.url);
  await client.connect();
  onTestFinished(async () => {
    await client.end();
    await database.drop();
  });
  const fleet = createFleet({
    seed: 4,
    baseTime: Date.UTC(2026, 5, 1),
    devices: 20,
    form: 'b',
    packetRecords: 8,
    expectedRecords: 4_000,
    drivesCircuits: true,
  });
  const ledger = createCrossingLedger(fleet.driving);
  for (let sent = 0; sent < 500; sent += 1) ledger.add(fleet.next());
  await createDirectus(client);
  await insertDrives(client, geofenceFileOf(fleet.driving));
  const expected = ledger.expected();
  await client.query(
    `INSERT INTO public.timing_records (id, device, geofence, direction, at, after_ts, source)
     SELECT gen_random_uuid(), device.id, one.geofence, one.direction, to_timestamp(one.at / 1000),
            to_timestamp(one.at / 1000), 'processor'
       FROM unnest($1::text[], $2::uuid[], $3::text[], $4::float8[]) AS one (imei, geofence, direction, at)
       JOIN public.devices AS device USING (imei)`,
    [
      expected.crossings.map(({ device }) => device),
      expected.crossings.map(({ geofence }) => geofence),
      expected.crossings.map(({ direction }) => direction),
      expected.crossings.map(({ earliest, latest }) => (earliest + latest) / 2),
    ],
  );
  const source = createCrossingSource(client, timing);
  const check = () => checkCrossings(expected, fleet.deviceIds, source);
  return { client, check };
}

test('live timing records of the service are compared with the drive, and only these', async () => {
  const { client, check } = await storedDrive();
  const clean = await check();
  expect(clean).toMatchObject({ missing: 0, extra: 0, problems: [] });
  expect(clean.expected).toBeGreaterThan(300);
  const one = '(SELECT id FROM public.timing_records ORDER BY id LIMIT 1)';
  await client.query(
    `INSERT INTO public.timing_records
       SELECT gen_random_uuid(), device, vehicle, geofence, direction, at, before_ts, after_ts, method, 'manual'
         FROM public.timing_records WHERE id = ${one}`,
  );
  expect(await check()).toEqual(clean);
  await client.query('UPDATE public.timing_records SET superseded_at = now()');
  expect(await check()).toMatchObject({ found: 0, missing: clean.expected, extra: 0 });
});
