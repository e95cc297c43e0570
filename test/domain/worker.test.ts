import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { retryParked } from '../../src/db/domain-operators.ts';
import { insertAssignment, insertIgnoredRange, insertVehicle } from '../../tools/domain-fixture.ts';
import { dayMs, deviceId } from '../db/positions.ts';
import { testTimescaledb } from '../setup/database.ts';
import { openFleet } from './real-fleet.ts';
import { createTestWorker, enqueueChange, manyRows, outboxRows, storeFixes } from './real-store.ts';
import { driveFrom, fixAt, parkedFrom, squareAt } from './road.ts';

/** Whole seconds, a day ago. */
const start = Math.floor(Date.now() / 1000) * 1000 - dayMs;
const everything = { from: -Infinity, to: Infinity };

test('a tracker that is moved while inside ends one stay and begins another', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device, vehicle } = await fleet.add(1);
  const other = await insertVehicle(fleet.client, 'other');
  const moved = new Date(start + 25_500);
  await fleet.client.query('UPDATE public.device_assignments SET valid_to = $1', [moved]);
  await insertAssignment(fleet.client, device, other, { validFrom: moved });
  await fleet.drive(imei, driveFrom(start, 0, 600));

  const records = await fleet.records(device);
  expect(records.map(({ subject, direction, method }) => [subject, direction, method])).toEqual([
    [vehicle, 'enter', 'interpolated'],
    [vehicle, 'exit', 'ended'],
    [other, 'enter', 'first_fix'],
    [other, 'exit', 'interpolated'],
  ]);
  expect(records[1]?.at).toBe(moved.getTime());
});

test('a device that is registered a day late is computed from its first position on', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  await storeFixes(fleet.client, deviceId(1), driveFrom(start, 0, 600));
  await fleet.sync();
  expect(fleet.worker.reports.at(-1)).toMatchObject({ unknownDevices: 1, windows: 0 });
  const { device } = await fleet.add(1);
  await fleet.sync();

  expect(await fleet.story(device, start)).toEqual([
    'enter interpolated 205',
    'exit interpolated 305',
  ]);
});

test('a geofence drawn round a parked car gives an enter without a fix before', async () => {
  const fleet = await openFleet();
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, parkedFrom(start, 250, 100));
  expect(await fleet.records(device)).toEqual([]);
  await fleet.fence(205, { validFrom: new Date(start + 500_000) });
  await fleet.sync();

  expect(await fleet.records(device)).toMatchObject([
    { direction: 'enter', method: 'first_fix', beforeTs: null, at: start + 500_000 },
  ]);
});

test('a geofence that is edited and edited back has its first records again, none twice', async () => {
  const fleet = await openFleet();
  const geofence = await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 600));
  const first = await fleet.records(device);
  const edit = (metres: number) =>
    fleet.client.query(
      'UPDATE public.geofences SET shape = $1, date_updated = clock_timestamp() WHERE id = $2',
      [JSON.stringify(squareAt(metres)), geofence],
    );
  await edit(405);
  await fleet.sync();
  expect(await fleet.story(device, start)).toEqual([
    'enter interpolated 405',
    'exit interpolated 505',
  ]);
  await edit(205);
  await fleet.sync();

  expect(await fleet.records(device)).toEqual(first);
  expect(fleet.worker.reports.at(-1)?.records).toMatchObject({ inserted: 0, revived: 2 });
  const { rows } = await fleet.client.query('SELECT FROM public.timing_records');
  expect(rows).toHaveLength(4);
});

test('an assignment that is deleted takes its crossings away, and entered again brings them back', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device, vehicle } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 600));
  const first = await fleet.records(device);
  await fleet.client.query('DELETE FROM public.device_assignments');
  await fleet.sync();
  expect(await fleet.records(device)).toEqual([]);
  await insertAssignment(fleet.client, device, vehicle, { validFrom: new Date(start - dayMs) });
  await fleet.sync();

  expect(first).toHaveLength(2);
  expect((await fleet.records(device)).map(({ id }) => id)).toEqual(first.map(({ id }) => id));
});

test('an ignored range takes its crossings away, and lifting it brings them back', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 600));
  const first = await fleet.records(device);
  expect(first).toHaveLength(2);
  const at = (second: number) => new Date(start + second * 1000);
  const range = await insertIgnoredRange(fleet.client, device, at(18), at(40));
  await fleet.sync();

  // The hop from second 17 to second 40 passes through the geofence.
  const passed = await fleet.records(device);
  expect(passed.map(({ method, beforeTs, afterTs }) => [method, beforeTs, afterTs])).toEqual([
    ['passed', start + 17_000, start + 40_000],
    ['passed', start + 17_000, start + 40_000],
  ]);
  await fleet.client.query('DELETE FROM public.ignored_ranges WHERE id = $1', [range]);
  await fleet.sync();
  expect(await fleet.records(device)).toEqual(first);
});

test('a change of the clock changes nothing: both hours of the same name have their own crossing', async () => {
  const fleet = await openFleet();
  await fleet.client.query(`DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET timezone = ''Europe/Berlin''', current_database());
  END $$`);
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1, new Date(0));
  // 02:30 in summer, and 02:30 again in winter; and over the hour that spring does not have.
  const hours = [
    Date.UTC(2026, 9, 25, 0, 30),
    Date.UTC(2026, 9, 25, 1, 30),
    Date.UTC(2026, 2, 29, 0, 59, 40),
  ];
  for (const hour of hours) await fleet.drive(imei, driveFrom(hour, 0, 600));

  const times = (await fleet.records(device)).map(({ at }) => at);
  expect(times).toEqual(
    hours.toSorted((a, b) => a - b).flatMap((hour) => [hour + 20_500, hour + 30_500]),
  );
});

test('a range with more positions than the limit is computed in parts', async () => {
  const fleet = await openFleet({ limits: { ...manyRows, rangeRows: 50, layerRows: 50 } });
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  const rounds = Array.from({ length: 20 }, (_, round) => start + round * 200_000);
  const fixes = rounds.flatMap((round) => driveFrom(round, 0, 600));
  await storeFixes(fleet.client, imei, fixes);
  await enqueueChange(fleet.client, imei, everything);
  await fleet.sync();

  const times = (await fleet.records(device)).map(({ at, direction }) => [direction, at]);
  expect(times).toEqual(
    rounds.flatMap((round) => [
      ['enter', round + 20_500],
      ['exit', round + 30_500],
    ]),
  );
  expect(fleet.worker.reports.some(({ putBack }) => putBack > 0)).toBe(true);
});

/** The device leaves, waits in the margin, and comes back: what came before the wait decides it. */
for (const [name, extensionRows] of [
  ['within one transaction', 50_000],
  ['over several transactions', 5],
] as const) {
  test(`a late fix before a long wait in the margin changes what comes after it, ${name}`, async () => {
    const fleet = await openFleet({ limits: { ...manyRows, rangeRows: 10, extensionRows } });
    await fleet.fence(205, { marginM: 50 });
    const { imei, device } = await fleet.add(1);
    const waiting = parkedFrom(start + 100_000, 330, 60);
    // It never was inside, as far as these show: no exit after the wait.
    await fleet.drive(imei, [
      fixAt(start, 600),
      ...waiting,
      ...driveFrom(start + 1_000_000, 330, 600),
    ]);
    expect(await fleet.records(device)).toEqual([]);
    await fleet.drive(imei, [fixAt(start + 50_000, 250)]);
    expect(await fleet.story(device, start + 1_000_000)).toEqual([
      'enter interpolated -9579',
      'exit interpolated 25',
    ]);
    // Inside again, then a later position before the wait shows that it had left.
    await fleet.drive(imei, [fixAt(start + 60_000, 600)]);
    expect(await fleet.records(device)).toMatchObject([
      { direction: 'enter' },
      { direction: 'exit' },
    ]);
    expect((await fleet.records(device)).every(({ afterTs }) => afterTs <= start + 60_000)).toBe(
      true,
    );
  });
}

test('more ranges of a device than a transaction computes are computed one after another', async () => {
  const fleet = await openFleet({ limits: { ...manyRows, layers: 2 } });
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.sync();
  const hours = [0, 1, 2, 3, 4].map((hour) => start + hour * 3_600_000);
  for (const hour of hours) await storeFixes(fleet.client, imei, driveFrom(hour, 0, 600));
  await fleet.sync();

  expect((await fleet.records(device)).map(({ at }) => at)).toEqual(
    hours.flatMap((hour) => [hour + 20_500, hour + 30_500]),
  );
});

test('an ignored fix is not the fix before a late one', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, [
    fixAt(start, 0),
    fixAt(start + 10_000, 250),
    fixAt(start + 20_000, 600),
  ]);
  const at = (second: number) => new Date(start + second * 1000);
  await insertIgnoredRange(fleet.client, device, at(9), at(11));
  await fleet.sync();
  await fleet.drive(imei, [fixAt(start + 15_000, 250)]);

  const records = await fleet.records(device);
  expect(records.map(({ direction, beforeTs, afterTs }) => [direction, beforeTs, afterTs])).toEqual(
    [
      ['enter', start, start + 15_000],
      ['exit', start + 15_000, start + 20_000],
    ],
  );
});

test('after a long silence a device may be inside of a geofence that is far away', async () => {
  const fleet = await openFleet({ change: { maxSilenceMs: 3_600_000 } });
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.drive(imei, driveFrom(start, 0, 250));
  await fleet.drive(imei, [fixAt(start + 7_200_000, 50_000)]);

  expect(await fleet.records(device)).toMatchObject([
    { direction: 'enter', method: 'interpolated' },
    { direction: 'exit', method: 'gap', beforeTs: null, at: start + 7_200_000 },
  ]);
});

test('an ignored range of more positions than the limit changes what comes after a wait in the margin', async () => {
  const fleet = await openFleet({ limits: { ...manyRows, rangeRows: 10 } });
  await fleet.fence(205, { marginM: 50 });
  const { imei, device } = await fleet.add(1);
  const inside = Array.from({ length: 25 }, (_, index) =>
    fixAt(start + 10_000 + index * 1000, 250),
  );
  const waiting = parkedFrom(start + 100_000, 330, 60);
  const leaving = driveFrom(start + 1_000_000, 330, 600);
  // Far in time from the inside, so that only the wait connects them.
  await fleet.drive(imei, [fixAt(start - 200_000, 600), ...inside, ...waiting, ...leaving]);
  expect(await fleet.records(device)).toHaveLength(2);
  await insertIgnoredRange(fleet.client, device, new Date(start), new Date(start + 50_000));
  await fleet.sync();

  expect(await fleet.records(device)).toEqual([]);
});

testTimescaledb('late positions in compressed chunks are computed like others', async () => {
  const fleet = await openFleet({
    table: { timescaledb: 'required', columnstoreAfterMs: 7 * dayMs },
  });
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  const days = [20, 15, 10, 3].map((age) => start - age * dayMs);
  for (const day of days) await fleet.drive(imei, driveFrom(day, 0, 150));
  const { rowCount } = await fleet.client.query(
    `SELECT public.compress_chunk(chunk) FROM public.show_chunks('public.positions') AS chunk`,
  );
  expect(rowCount).toBe(4);
  for (const day of days.toReversed()) await fleet.drive(imei, driveFrom(day + 16_000, 160, 600));
  await enqueueChange(fleet.client, imei, everything);
  await fleet.sync();

  expect((await fleet.records(device)).map(({ at }) => at)).toEqual(
    days.flatMap((day) => [day + 20_500, day + 30_500]),
  );
});

test('more devices than a batch takes are computed in several batches', async () => {
  const fleet = await openFleet({ change: { batchDevices: 3 } });
  await fleet.fence(205);
  const devices = [];
  for (let number = 1; number <= 10; number += 1) devices.push(await fleet.add(number));
  for (const { imei } of devices) await storeFixes(fleet.client, imei, driveFrom(start, 0, 600));
  await fleet.sync();

  for (const { device } of devices) expect(await fleet.records(device)).toHaveLength(2);
  expect(fleet.worker.reports.every((report) => report.devices <= 3)).toBe(true);
});

test('a device is computed by one worker at a time', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.sync();
  const computed = Promise.withResolvers<void>();
  const allowed = Promise.withResolvers<void>();
  const slow = createTestWorker({
    maxHopMs: 120_000,
    maxSilenceMs: dayMs,
    newest: fleet.contract,
    store: {
      ...fleet.store,
      transaction: (timing, work) =>
        fleet.store.transaction(timing, (tx) =>
          work({
            ...tx,
            async supersede(ids) {
              computed.resolve();
              await allowed.promise;
              return await tx.supersede(ids);
            },
          }),
        ),
    },
  });
  await storeFixes(fleet.client, imei, [fixAt(start, 0), fixAt(start + 60_000, 600)]);
  const first = slow.next();
  await computed.promise;
  // It does not know this one, which changes what it is about to write.
  await storeFixes(fleet.client, imei, [fixAt(start + 30_000, 250)]);
  await fleet.worker.drain();
  expect(await fleet.records(device)).toEqual([]);
  allowed.resolve();
  expect(await first).toMatchObject({ outcome: 'worked' });
  await fleet.worker.drain();

  const records = await fleet.records(device);
  expect(records.map(({ method, beforeTs }) => [method, beforeTs])).toEqual([
    ['interpolated', start],
    ['interpolated', start + 30_000],
  ]);
});

test('a compacted outbox has one range a device and gives the same records', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const devices = [await fleet.add(1), await fleet.add(2)];
  for (const { imei } of devices) {
    for (const fix of driveFrom(start, 0, 600)) await storeFixes(fleet.client, imei, [fix]);
  }
  expect(await fleet.store.compact()).toEqual({ before: 122, after: 2 });
  expect(await outboxRows(fleet.client)).toBe(2);
  await fleet.sync();

  for (const { device } of devices) {
    expect(await fleet.story(device, start)).toEqual([
      'enter interpolated 205',
      'exit interpolated 305',
    ]);
  }
});

test('a record that a person added is never touched', async () => {
  const fleet = await openFleet();
  const geofence = await fleet.fence(205);
  const { imei, device, vehicle } = await fleet.add(1);
  const id = randomUUID();
  await fleet.client.query(
    `INSERT INTO public.timing_records (id, device, vehicle, geofence, direction, at, after_ts, source)
     VALUES ($1, $2, $3, $4, 'enter', $5, $5, 'manual')`,
    [id, device, vehicle, geofence, new Date(start + 21_000)],
  );
  await fleet.drive(imei, driveFrom(start, 0, 600));
  await enqueueChange(fleet.client, imei, everything);
  await fleet.sync();
  await fleet.client.query(`UPDATE public.geofences SET status = 'archived'`);
  await fleet.sync();

  expect(await fleet.records(device)).toEqual([]);
  const { rows } = await fleet.client.query(
    'SELECT superseded_at, source FROM public.timing_records WHERE id = $1',
    [id],
  );
  expect(rows).toEqual([{ superseded_at: null, source: 'manual' }]);
});

test('nothing is taken while the domain is paused', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.client.query(
    "INSERT INTO positions.domain_pause (by_whom, reason) VALUES ('test', 'test')",
  );
  await storeFixes(fleet.client, imei, driveFrom(start, 0, 600));
  await fleet.load();
  expect(await fleet.worker.next()).toMatchObject({ outcome: 'paused' });
  expect(await fleet.records(device)).toEqual([]);
  await fleet.client.query('DELETE FROM positions.domain_pause');
  await fleet.sync();

  expect(await fleet.records(device)).toHaveLength(2);
});

test('a geofence that is deleted after it was loaded is loaded again, and its crossings are not wanted', async () => {
  const fleet = await openFleet();
  const geofence = await fleet.fence(205);
  const { imei, device } = await fleet.add(1);
  await fleet.load();
  await storeFixes(fleet.client, imei, driveFrom(start, 0, 600));
  await fleet.client.query('DELETE FROM public.geofences WHERE id = $1', [geofence]);
  await fleet.worker.drain();

  expect(fleet.worker.failures).toMatchObject([{ kind: 'reload', code: '23503' }]);
  expect(await fleet.records(device)).toEqual([]);
  expect(await outboxRows(fleet.client)).toBe(0);
});

test('a device whose row is refused again and again is parked, and the others go on', async () => {
  const fleet = await openFleet();
  await fleet.fence(205);
  const devices = [await fleet.add(1), await fleet.add(2), await fleet.add(3)];
  const [bad] = devices;
  await fleet.client.query(`
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.device = TG_ARGV[0]::uuid THEN RAISE EXCEPTION 'refused by a test'; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON public.timing_records
      FOR EACH ROW EXECUTE FUNCTION public.refuse('${bad?.device}')`);
  for (const { imei } of devices) await storeFixes(fleet.client, imei, driveFrom(start, 0, 600));
  await fleet.load();
  await drainUntil(fleet.worker, () => fleet.worker.parked.length > 0);
  await fleet.worker.drain();

  expect(fleet.worker.parked).toEqual([bad?.imei]);
  expect(await fleet.records(devices[1]?.device ?? '')).toHaveLength(2);
  expect(await fleet.records(devices[2]?.device ?? '')).toHaveLength(2);
  const parked = await fleet.client.query<{ attempts: number; error: string; since: Date }>(
    'SELECT attempts, error, from_ts AS since FROM positions.outbox_parked',
  );
  expect(parked.rows).toMatchObject([{ attempts: 5, error: 'P0001: refused by a test' }]);

  // What arrives later waits with it.
  await fleet.drive(bad?.imei ?? deviceId(0), [fixAt(start - 27 * dayMs, 0)]);
  const more = await fleet.client.query<{ since: Date }>(
    'SELECT from_ts AS since FROM positions.outbox_parked',
  );
  expect(more.rows[0]?.since.getTime()).toBe(start - 27 * dayMs);

  await fleet.client.query('DROP TRIGGER refuse ON public.timing_records');
  await retryParked(fleet.client, null);
  await fleet.sync();
  expect(await fleet.records(bad?.device ?? '')).toHaveLength(2);
});

/** A device that failed is tried again after a pause. */
async function drainUntil(
  worker: { next(): Promise<unknown> },
  isDone: () => boolean,
): Promise<void> {
  for (let turn = 0; turn < 10_000 && !isDone(); turn += 1) {
    await worker.next();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
