import { describe, expect, test } from 'vitest';
import { enqueueChanges, readFingerprint, readVersion } from '../../src/db/domain-changes.ts';
import {
  insertAssignment,
  insertDevice,
  insertGeofence,
  insertIgnoredRange,
  insertVehicle,
} from '../../tools/domain-fixture.ts';
import {
  type ChangesDatabase,
  changesDatabase,
  circle,
  day,
  earliest,
  elsewhere,
  loadOptions,
  now,
  session,
} from './domain-changes-subject.ts';
import { deviceId } from './positions.ts';

const [one, two, three] = [deviceId(1), deviceId(2), deviceId(3)];

interface Fleet extends ChangesDatabase {
  /** The key of a geofence of no scope, valid for ever. */
  readonly geofence: string;
  readonly scoped: string;
  readonly devices: readonly [string, string, string];
  readonly assignments: readonly [string, string, string];
}

/** Two devices of scope a, one of scope b; all of it is seen and the outbox is empty. */
async function fleet(): Promise<Fleet> {
  const database = await changesDatabase();
  const { client } = database;
  const assign = async (imei: string, scope: string) => {
    const device = await insertDevice(client, imei);
    const vehicle = await insertVehicle(client, imei, scope);
    const assignment = await insertAssignment(client, device, vehicle, { validFrom: day(-60) });
    return { device, assignment };
  };
  const a = await assign(one, 'a');
  const b = await assign(two, 'a');
  const c = await assign(three, 'b');
  const geofence = await insertGeofence(client, { shape: circle, radiusM: 100 });
  const scoped = await insertGeofence(client, { shape: circle, radiusM: 100, scope: 'b' });
  await database.enqueue();
  await database.taken();
  return {
    ...database,
    geofence,
    scoped,
    devices: [a.device, b.device, c.device],
    assignments: [a.assignment, b.assignment, c.assignment],
  };
}

const set = ({ client }: ChangesDatabase, id: string, change: string, values: unknown[] = []) =>
  client.query(`UPDATE public.geofences SET ${change} WHERE id = $1`, [id, ...values]);

describe('a change of the views', () => {
  test('at first is everything: each known device is enqueued from the horizon on, and the version rises', async () => {
    const database = await changesDatabase();
    const { client } = database;
    const device = await insertDevice(client, one);
    await insertDevice(client, two);
    await insertAssignment(client, device, null, { validFrom: day(-60), validTo: day(5) });
    await insertGeofence(client, { shape: circle, radiusM: 100 });

    expect(await readVersion(client)).toBe(0);
    expect(await database.enqueue()).toMatchObject({ changed: 2, version: 1, isBusy: false });
    for (const range of await database.taken()) expect(range).toEqual([one, earliest, day(5)]);
    expect(await database.enqueue()).toEqual({
      changed: 0,
      enqueued: 0,
      version: 1,
      isBusy: false,
    });
    expect(await database.taken()).toEqual([]);
  });

  test('of a shape enqueues the devices of its scope, and again when it is changed back', async () => {
    const database = await fleet();
    const { geofence, scoped } = database;
    for (const shape of [elsewhere, circle]) {
      await set(database, geofence, 'shape = $2', [JSON.stringify(shape)]);
      expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 3 });
      expect(await database.taken()).toEqual([one, two, three].map((id) => [id, earliest, null]));
      await set(database, scoped, 'shape = $2', [JSON.stringify(shape)]);
      expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
      expect(await database.taken()).toEqual([[three, earliest, null]]);
    }
  });

  test.each(['radius_m = 101', 'margin_m = 21', 'margin_m = NULL'])(
    'of %s is one of the shape',
    async (change) => {
      const database = await fleet();
      await set(database, database.scoped, change);

      expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
    },
  );

  test('of a name or of changed_at alone is none', async () => {
    const database = await fleet();
    await set(database, database.geofence, "name = 'depot', date_updated = now()");

    expect(await database.enqueue()).toMatchObject({ changed: 0, enqueued: 0, version: 1 });
  });

  test('of one end of a validity enqueues what the end moved over, no more', async () => {
    const database = await fleet();
    const { scoped } = database;
    await set(database, scoped, 'valid_to = $2', [day(-2)]);
    await database.enqueue();
    expect(await database.taken()).toEqual([[three, day(-2), null]]);
    await set(database, scoped, 'valid_to = $2', [day(-1)]);
    await database.enqueue();
    expect(await database.taken()).toEqual([[three, day(-2), day(-1)]]);
    await set(database, scoped, 'valid_from = $2', [day(-10)]);
    await database.enqueue();
    expect(await database.taken()).toEqual([[three, earliest, day(-10)]]);
    await set(database, scoped, 'valid_from = $2, valid_to = $3', [day(-8), day(1)]);
    await database.enqueue();
    expect(await database.taken()).toEqual([[three, day(-10), day(1)]]);
  });

  test('of a validity and the shape together enqueues the old and the new validity', async () => {
    const database = await fleet();
    const { scoped } = database;
    await set(database, scoped, 'valid_from = $2, valid_to = $3', [day(-8), day(-6)]);
    await database.enqueue();
    await database.taken();
    await set(database, scoped, 'valid_from = $2, valid_to = $3, radius_m = 7', [day(-4), day(-2)]);

    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
    expect(await database.taken()).toEqual([[three, day(-8), day(-2)]]);
  });

  test('enqueues nothing that ended before the horizon, nor an empty validity', async () => {
    const database = await fleet();
    const { client } = database;
    const long = { validFrom: day(-50), validTo: day(-31) };
    const id = await insertGeofence(client, { shape: circle, radiusM: 9, ...long });
    await insertGeofence(client, { shape: circle, validFrom: day(-1), validTo: day(-2) });
    expect(await database.enqueue()).toMatchObject({ changed: 2, enqueued: 0, version: 2 });
    await set(database, id, 'radius_m = 10');
    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 0, version: 3 });
    await set(database, id, 'valid_to = $2', [day(-29)]);
    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 3 });
    expect((await database.taken())[0]).toEqual([one, earliest, day(-29)]);
  });

  test('of a scope enqueues the devices of the old and of the new one', async () => {
    const database = await fleet();
    await set(database, database.scoped, "scope = 'a'");
    await database.enqueue();
    expect((await database.taken()).map(([id]) => id)).toEqual([one, two, three]);
    await set(database, database.scoped, "scope = 'nobody'");
    await database.enqueue();
    expect((await database.taken()).map(([id]) => id)).toEqual([one, two]);
    await set(database, database.scoped, 'scope = NULL');
    await database.enqueue();
    expect((await database.taken()).map(([id]) => id)).toEqual([one, two, three]);
  });

  test('that deletes a row, or unpublishes it, enqueues its validity', async () => {
    const database = await fleet();
    const { client, scoped } = database;
    await set(database, scoped, "status = 'archived'");
    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
    expect(await database.taken()).toEqual([[three, earliest, null]]);
    await set(database, scoped, "status = 'published', valid_from = $2", [day(-3)]);
    await database.enqueue();
    expect(await database.taken()).toEqual([[three, day(-3), null]]);
    await client.query('DELETE FROM public.geofences WHERE id = $1', [scoped]);
    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
    expect(await database.taken()).toEqual([[three, day(-3), null]]);
  });

  test('that ends an assignment and begins another one enqueues both from then on', async () => {
    const database = await fleet();
    const { client, assignments, devices } = database;
    await client.query('UPDATE public.device_assignments SET valid_to = $2 WHERE id = $1', [
      assignments[0],
      day(-1),
    ]);
    const vehicle = await insertVehicle(client, 'other', 'b');
    await insertAssignment(client, devices[0], vehicle, { validFrom: day(-1) });

    expect(await database.enqueue()).toMatchObject({ changed: 2, enqueued: 1 });
    expect(await database.taken()).toEqual([[one, day(-1), null]]);
  });

  test('that moves an assignment to another vehicle or device enqueues its whole validity', async () => {
    const database = await fleet();
    const { client, assignments, devices } = database;
    const move = (column: string, value: string) =>
      client.query(`UPDATE public.device_assignments SET ${column} = $2 WHERE id = $1`, [
        assignments[0],
        value,
      ]);
    await move('vehicle', await insertVehicle(client, 'other', 'a'));
    expect(await database.enqueue()).toMatchObject({ changed: 2, enqueued: 1 });
    expect(await database.taken()).toEqual([[one, earliest, null]]);
    await move('device', devices[2]);
    expect(await database.enqueue()).toMatchObject({ enqueued: 2 });
    expect(await database.taken()).toEqual([
      [one, earliest, null],
      [three, earliest, null],
    ]);
  });

  test('that brings a device a day late enqueues it from the start of its assignment', async () => {
    const database = await fleet();
    const late = deviceId(4);
    const device = await insertDevice(database.client, late);
    expect(await database.enqueue()).toMatchObject({ changed: 0 });
    await insertAssignment(database.client, device, null, { validFrom: day(-1) });

    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
    expect(await database.taken()).toEqual([[late, day(-1), null]]);
  });

  test('that sets an ignored range, moves it and lifts it enqueues that range', async () => {
    const database = await fleet();
    const { client, devices } = database;
    const id = await insertIgnoredRange(client, devices[1], day(-5), day(-4));
    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
    expect(await database.taken()).toEqual([[two, day(-5), day(-4)]]);
    await client.query('UPDATE public.ignored_ranges SET valid_to = $2 WHERE id = $1', [
      id,
      day(-3),
    ]);
    await database.enqueue();
    expect(await database.taken()).toEqual([[two, day(-5), day(-3)]]);
    await client.query('DELETE FROM public.ignored_ranges');
    await database.enqueue();
    expect(await database.taken()).toEqual([[two, day(-5), day(-3)]]);
  });

  test('that removes the optional view lifts its ranges', async () => {
    const database = await fleet();
    const { client, devices } = database;
    await insertIgnoredRange(client, devices[1], day(-5), day(-4));
    await database.enqueue();
    await database.taken();
    await client.query('DROP VIEW processor_contract.ignored_v1');

    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
    expect(await database.taken()).toEqual([[two, day(-5), day(-4)]]);
  });

  test('of rows with one id is found whatever their order', async () => {
    const database = await fleet();
    const { client, scoped } = database;
    const { rows } = await client.query<{ text: string }>(
      `SELECT rtrim(pg_get_viewdef('processor_contract.geofences_v1'::regclass), ';') AS text`,
    );
    const [{ text } = { text: '' }] = rows;
    await client.query(
      `CREATE OR REPLACE VIEW processor_contract.geofences_v1 AS (${text}) UNION ALL (${text})`,
    );
    expect(await database.enqueue()).toMatchObject({ changed: 2, enqueued: 3 });
    await set(database, scoped, 'radius_m = 12');
    expect(await database.enqueue()).toMatchObject({ changed: 1, enqueued: 1 });
    expect(await database.enqueue()).toMatchObject({ changed: 0 });
  });

  test('is not stored and enqueues nothing while the view has too many rows', async () => {
    const database = await fleet();
    await insertGeofence(database.client, { shape: circle, radiusM: 5 });
    const tooMany = database.enqueue({ maxGeofences: 2 });

    await expect(tooMany).rejects.toMatchObject({
      code: 'CONTRACT_BROKEN',
      message: expect.stringContaining('DOMAIN_MAX_GEOFENCES'),
    });
    expect(await database.taken()).toEqual([]);
    expect(await readVersion(database.client)).toBe(1);
    expect(await database.enqueue({ maxGeofences: 3 })).toMatchObject({ changed: 1, version: 2 });
  });

  test('is the fault of the view that fails, and stays whole: nothing of it is stored', async () => {
    const database = await fleet();
    await set(database, database.scoped, 'radius_m = 12');
    await database.client.query(
      `CREATE OR REPLACE VIEW processor_contract.ignored_v1 AS
         SELECT (1 / (n - 1))::text::varchar::text AS imei, now() AS from_ts, now() AS to_ts,
                now() AS changed_at FROM generate_series(1, 2) AS n`,
    );

    await expect(database.enqueue()).rejects.toMatchObject({
      faults: [{ object: 'processor_contract.ignored_v1' }],
    });
    expect(await database.taken()).toEqual([]);
    expect(await readVersion(database.client)).toBe(1);
  });

  test('is no fault of a view where the role may not write', async () => {
    const database = await fleet();
    await set(database, database.scoped, 'radius_m = 12');
    await database.client.query(
      `CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RAISE insufficient_privilege; END $$;
       CREATE TRIGGER refuse BEFORE INSERT ON positions.outbox EXECUTE FUNCTION public.refuse()`,
    );

    await expect(database.enqueue()).rejects.toMatchObject({
      name: 'DependencyError',
      code: '42501',
    });
  });
});

describe('several instances', () => {
  test('that compare at once enqueue a change once', async () => {
    const database = await fleet();
    const others = [await session(database.url), await session(database.url)];
    for (const radius of [1, 2, 3, 4, 5]) {
      await set(database, database.scoped, 'radius_m = $2', [radius]);
      const all = await Promise.all(
        [database.client, ...others].map((client) => enqueueChanges(client, loadOptions, now)),
      );
      const done = all.filter(({ isBusy }) => !isBusy);

      expect(done.map(({ changed }) => changed).toSorted()).toEqual([
        ...done.slice(1).map(() => 0),
        1,
      ]);
      expect(await database.taken()).toHaveLength(1);
      expect(await readVersion(database.client)).toBe(1 + radius);
    }
  });

  test('leave the comparison to the one that holds the lock', async () => {
    const database = await fleet();
    await set(database, database.scoped, 'radius_m = 12');
    const other = await session(database.url);
    await other.query(
      'BEGIN; SELECT pg_advisory_xact_lock($1, $2)'.replace('$1, $2', `${0x70726f63}, 3`),
    );

    expect(await database.enqueue()).toEqual({
      changed: 0,
      enqueued: 0,
      version: 1,
      isBusy: true,
    });
    await other.query('COMMIT');
    expect(await database.enqueue()).toMatchObject({ changed: 1, version: 2, isBusy: false });
  });
});

describe('the fingerprint that is polled', () => {
  test.each([
    [
      'a geofence of an earlier changed_at',
      (at: Fleet) => set(at, at.geofence, 'date_created = $2, date_updated = $2', [day(-300)]),
    ],
    ['a validity by SQL', (at: Fleet) => set(at, at.geofence, 'valid_to = $2', [day(3)])],
    ['a geofence', (at: Fleet) => at.client.query('DELETE FROM public.geofences')],
    [
      'a vehicle of other scope',
      (at: Fleet) => at.client.query("UPDATE public.vehicles SET scope = 'z'"),
    ],
    [
      'an ignored range',
      (at: Fleet) => insertIgnoredRange(at.client, at.devices[0], day(1), day(2)),
    ],
    [
      'the view of ignored ranges',
      (at: Fleet) => at.client.query('DROP VIEW processor_contract.ignored_v1'),
    ],
  ])('sees a change of %s', async (_, change) => {
    const database = await fleet();
    const before = await readFingerprint(database.client);
    expect(await readFingerprint(database.client)).toBe(before);
    await change(database);

    expect(await readFingerprint(database.client)).not.toBe(before);
  });

  test('does not see a shape edited by SQL, which the comparison does', async () => {
    const database = await fleet();
    const before = await readFingerprint(database.client);
    await set(database, database.scoped, 'shape = $2', [JSON.stringify(elsewhere)]);

    expect(await readFingerprint(database.client)).toBe(before);
    expect(await database.enqueue()).toMatchObject({ changed: 1 });
  });

  test('names the view that cannot be read', async () => {
    const database = await fleet();
    await database.client.query('DROP VIEW processor_contract.devices_v1');

    await expect(readFingerprint(database.client)).rejects.toMatchObject({
      faults: [{ object: 'processor_contract.devices_v1' }],
    });
  });
});
