import { expect, test } from 'vitest';
import { forgetDevice } from '../../src/db/forget-device.ts';
import { dayMs } from '../db/positions.ts';
import { openFleet } from './real-fleet.ts';
import { enqueueChange, storeFixes } from './real-store.ts';
import { driveFrom, fixAt, parkedFrom } from './road.ts';

const start = Math.floor(Date.now() / 1000) * 1000 - 10 * dayMs;
const everything = { from: -Infinity, to: Infinity };

async function deleteBefore(
  client: { query(sql: string, values: unknown[]): Promise<unknown> },
  ts: number,
): Promise<void> {
  await client.query('DELETE FROM public.positions WHERE ts < to_timestamp($1::float8 / 1000)', [
    ts,
  ]);
}

/** Every second of the drive as the boundary: before, in, on the edges of and behind the geofence. */
test('a crossing whose positions are deleted stays, wherever the deletion cuts the drive', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 600));
  const first = await fleet.records(device);
  expect(first).toHaveLength(2);
  for (let second = 1; second <= 61; second += 1) {
    await deleteBefore(fleet.client, start + second * 1000);
    await enqueueChange(fleet.client, imei, everything);
    await fleet.sync();

    expect(await fleet.records(device), `deleted before second ${second}`).toEqual(first);
  }
});

test('a stay that began before the deleted positions ends with what is left', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 250));
  await deleteBefore(fleet.client, start + 60_000);
  await fleet.drive(imei, driveFrom(start + 60_000, 250, 600));

  expect(await fleet.story(device, start)).toEqual([
    'enter interpolated 205',
    'exit interpolated 655',
  ]);
  await enqueueChange(fleet.client, imei, everything);
  await fleet.sync();
  expect(await fleet.story(device, start)).toEqual([
    'enter interpolated 205',
    'exit interpolated 655',
  ]);
});

test('a geofence that is edited does not retract crossings whose positions are deleted', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 600));
  await fleet.drive(imei, driveFrom(start + dayMs, 0, 600));
  await deleteBefore(fleet.client, start + dayMs / 2);
  await fleet.client.query(`UPDATE public.geofences SET status = 'archived'`);
  await fleet.sync();

  expect(await fleet.story(device, start)).toEqual([
    'enter interpolated 205',
    'exit interpolated 305',
  ]);
});

test('what is older than the retention is not computed, and is counted', async () => {
  const fleet = await openFleet({ change: { retentionMs: 5 * dayMs } });
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 600));
  expect(await fleet.records(device)).toEqual([]);
  expect(fleet.worker.reports.at(-1)).toMatchObject({ clamped: 1, windows: 0 });
  const recent = start + 7 * dayMs;
  await fleet.drive(imei, driveFrom(recent, 0, 600));
  await enqueueChange(fleet.client, imei, everything);
  await fleet.sync();

  expect(await fleet.story(device, recent)).toEqual([
    'enter interpolated 205',
    'exit interpolated 305',
  ]);
});

test('a forgotten device keeps its records, also when late positions of it arrive', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 600));
  const first = await fleet.records(device);
  await forgetDevice(fleet.client, imei, new AbortController().signal);
  await enqueueChange(fleet.client, imei, everything);
  await fleet.sync();
  expect(await fleet.records(device)).toEqual(first);

  // Older and newer than what was forgotten, far from the geofence.
  await fleet.drive(imei, [fixAt(start - dayMs, 5_000)]);
  await fleet.drive(imei, [fixAt(start + dayMs, 5_000)]);
  const kept = await fleet.records(device);
  expect(kept).toEqual(first);
});

test('positions that cannot be used are not missing: their crossings are retracted', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await storeFixes(fleet.client, imei, driveFrom(start, 0, 600), 3);
  await fleet.sync();
  expect(await fleet.records(device)).toEqual([]);
  await fleet.drive(imei, parkedFrom(start + dayMs, 250, 5));
  expect(await fleet.story(device, start + dayMs)).toEqual(['enter first_fix 0']);
  await fleet.client.query(
    `INSERT INTO public.ignored_ranges (id, device, valid_from, valid_to)
     VALUES (gen_random_uuid(), $1, $2, $3)`,
    [device, new Date(start), new Date(start + 2 * dayMs)],
  );
  await fleet.sync();
  expect(await fleet.records(device)).toEqual([]);
});
