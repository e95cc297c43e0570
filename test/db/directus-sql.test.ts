import { describe, expect, onTestFinished, test } from 'vitest';
import {
  createDirectus,
  insertAssignment,
  insertDevice,
  insertEntry,
  insertEvent,
  insertGeofence,
  insertIgnoredRange,
  insertVehicle,
  readContract,
} from '../../tools/domain-fixture.ts';
import { freshDatabase } from '../setup/database.ts';
import { connect } from './positions.ts';

const imei = '350000000000001';
const from = new Date('2026-03-01T00:00:00Z');
const to = new Date('2026-04-01T00:00:00Z');
const shape = { type: 'Point', coordinates: [25.3, 54.7] };

async function directus(kind: 'fleet' | 'race') {
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  const client = await connect(url);
  await createDirectus(client, kind);
  return client;
}

const columnsOf = {
  geofences_v1: {
    geofence: 'text',
    scope: 'text',
    shape: 'json',
    radius_m: 'double precision',
    margin_m: 'double precision',
    valid_from: 'timestamp with time zone',
    valid_to: 'timestamp with time zone',
    changed_at: 'timestamp with time zone',
  },
  devices_v1: {
    imei: 'text',
    device: 'text',
    subject: 'text',
    scope: 'text',
    valid_from: 'timestamp with time zone',
    valid_to: 'timestamp with time zone',
    changed_at: 'timestamp with time zone',
  },
  ignored_v1: {
    imei: 'text',
    from_ts: 'timestamp with time zone',
    to_ts: 'timestamp with time zone',
    changed_at: 'timestamp with time zone',
  },
};

describe.each(['fleet', 'race'] as const)('contract-%s.sql', (kind) => {
  test('makes the promised views', async () => {
    const client = await directus(kind);
    const { rows } = await client.query<{ view: string; columns: unknown }>(
      `SELECT c.relname AS view,
              json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)) AS columns
         FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'processor_contract'::regnamespace GROUP BY 1`,
    );

    expect(Object.fromEntries(rows.map(({ view, columns }) => [view, columns]))).toEqual(columnsOf);
  });

  test('may be run again, and then makes the same', async () => {
    const client = await directus(kind);
    await client.query(await readContract(kind));

    const { rows } = await client.query(
      `SELECT indexdef FROM pg_indexes
        WHERE tablename = 'timing_records' AND indexname <> 'timing_records_pkey' ORDER BY 1`,
    );
    expect(rows).toEqual([
      {
        indexdef: expect.stringMatching(/\(device, after_ts\) WHERE \(superseded_at IS NULL\)$/),
      },
      {
        indexdef: expect.stringMatching(
          /\(device, geofence, after_ts DESC\) WHERE \(superseded_at IS NULL\)$/,
        ),
      },
    ]);
  });

  test('keeps the collections from changes that would break it', async () => {
    const client = await directus(kind);

    for (const change of [
      'ALTER TABLE public.geofences DROP COLUMN radius_m',
      'ALTER TABLE public.geofences ALTER COLUMN margin_m TYPE numeric',
      'DROP TABLE public.devices',
    ]) {
      await expect(client.query(change), change).rejects.toMatchObject({
        code: expect.stringMatching(/^(2BP01|0A000)$/),
      });
    }
  });
});

test('a fleet shows published geofences, assignments and ignored ranges', async () => {
  const client = await directus('fleet');
  const device = await insertDevice(client, imei);
  const vehicle = await insertVehicle(client, 'van', 'north');
  await insertDevice(client, '350000000000002');
  await insertAssignment(client, device, vehicle, { validFrom: from, validTo: to });
  await insertIgnoredRange(client, device, from, to);
  const geofence = await insertGeofence(client, { shape, radiusM: 100, scope: 'north' });
  await insertGeofence(client, { shape, status: 'draft' });
  await insertGeofence(client, { shape, status: 'archived' });

  const read = async (view: string) =>
    (await client.query(`SELECT * FROM processor_contract.${view}`)).rows;
  const changed_at = expect.any(Date);
  expect(await read('geofences_v1')).toEqual([
    {
      geofence,
      scope: 'north',
      shape,
      radius_m: 100,
      margin_m: 20,
      valid_from: null,
      valid_to: null,
      changed_at,
    },
  ]);
  expect(await read('devices_v1')).toEqual([
    { imei, device, subject: vehicle, scope: 'north', valid_from: from, valid_to: to, changed_at },
  ]);
  expect(await read('ignored_v1')).toEqual([{ imei, from_ts: from, to_ts: to, changed_at }]);
});

test('a race shows each device of an entry while its event runs', async () => {
  const client = await directus('race');
  const devices = [await insertDevice(client, imei), await insertDevice(client, '350000000000002')];
  const event = await insertEvent(client, { validFrom: from, validTo: to });
  const entry = await insertEntry(client, event, 7, devices);
  await insertGeofence(client, { shape, radiusM: 50, scope: event }, 'race');

  const { rows } = await client.query(
    `SELECT imei, device, subject, scope, valid_from, valid_to
       FROM processor_contract.devices_v1 ORDER BY imei`,
  );
  const common = { subject: entry, scope: event, valid_from: from, valid_to: to };
  expect(rows).toEqual([
    { imei, device: devices[0], ...common },
    { imei: '350000000000002', device: devices[1], ...common },
  ]);
  const fences = await client.query('SELECT scope FROM processor_contract.geofences_v1');
  expect(fences.rows).toEqual([{ scope: event }]);
});
