import { expect, test } from 'vitest';
import { eventually } from '../../tools/service.ts';
import { fenceAt, imei, openWorld } from './domain-world.ts';

const drive = Array.from({ length: 60 }, (_, second) => second);

test('the service stores the crossings of what it stores, in whatever order it arrives', async () => {
  const world = await openWorld();
  await fenceAt(world.client, 205);
  const device = await world.register(imei(1));
  const one = world.service();
  await one.untilReady();
  await world.drive(imei(1), drive.toReversed());

  await world.untilCrossings(device, ['enter 205', 'exit 305']);
  const metric = await one.metrics();
  expect(metric('processor_domain_contract_ok{handler="geofences"}')).toBe(1);
  expect(metric('processor_domain_state_mismatch_total{handler="geofences"}')).toBe(0);
  await eventually('the outbox is empty', async () => {
    const { rows } = await world.client.query('SELECT FROM positions.outbox');
    return rows.length === 0 ? true : undefined;
  });
  expect(await one.end('SIGTERM')).toBe(0);
});

test('an archived geofence leaves no live record, and its records are revived when it is published again', async () => {
  const world = await openWorld();
  const geofence = await fenceAt(world.client, 205);
  const device = await world.register(imei(1));
  const one = world.service();
  await one.untilReady();
  await world.drive(imei(1), drive);
  await world.untilCrossings(device, ['enter 205', 'exit 305']);

  await world.client.query(
    `UPDATE public.geofences SET status = 'archived', date_updated = now() WHERE id = $1`,
    [geofence],
  );
  await world.untilCrossings(device, []);
  await world.client.query(
    `UPDATE public.geofences SET status = 'published', date_updated = now() WHERE id = $1`,
    [geofence],
  );
  await world.untilCrossings(device, ['enter 205', 'exit 305']);
  const { rows } = await world.client.query('SELECT FROM public.timing_records');
  expect(rows).toHaveLength(2);
});

test('with DOMAIN=off nothing of the domain connects, and no metric of it has a value', async () => {
  const world = await openWorld({ env: { DOMAIN: 'off' } });
  const one = world.service();
  await one.untilReady();
  await world.drive(imei(1), drive);
  await eventually('all is stored', async () =>
    (await world.positions()) === drive.length ? true : undefined,
  );

  const { rows } = await world.client.query(
    `SELECT FROM pg_stat_activity WHERE application_name LIKE '%:domain'
       AND datname = current_database()`,
  );
  expect(rows).toEqual([]);
  const outbox = await world.client.query('SELECT FROM positions.outbox');
  expect(outbox.rows).toEqual([]);
});
