import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { DependencyError } from '../../src/core/types.ts';
import { readVersion } from '../../src/db/domain-changes.ts';
import { loadContract } from '../../src/db/domain-load.ts';
import type { DomainContract } from '../../src/domain/contract.ts';
import {
  insertAssignment,
  insertDevice,
  insertGeofence,
  insertIgnoredRange,
  insertVehicle,
} from '../../tools/domain-fixture.ts';
import {
  changesDatabase,
  circle,
  day,
  elsewhere,
  loadOptions,
  now,
  session,
  timing,
} from './domain-changes-subject.ts';
import { deviceId } from './positions.ts';

const imei = deviceId(1);

/** Edits that never pause may exhaust the attempts of one load. */
async function loadUndisturbed(client: Client): Promise<DomainContract> {
  for (;;) {
    try {
      return await loadContract(client, timing, loadOptions, () => now);
    } catch (error) {
      if (!(error instanceof DependencyError) || error.code !== 'CONTRACT_CHANGING') throw error;
    }
  }
}

describe('the contract, loaded', () => {
  test('is what the views hold, with the version', async () => {
    const { client, load } = await changesDatabase();
    const device = await insertDevice(client, imei);
    const vehicle = await insertVehicle(client, 'v', 's');
    await insertAssignment(client, device, vehicle, { validFrom: day(-2), validTo: day(-1) });
    await insertAssignment(client, device, vehicle, { validFrom: day(-1) });
    await insertIgnoredRange(client, device, day(-3), day(-2));
    const place = { scope: 's', validFrom: day(-5), validTo: day(5) };
    const whole = await insertGeofence(client, {
      shape: circle,
      radiusM: 50,
      marginM: 5,
      ...place,
    });
    const refused = await insertGeofence(client, { shape: '{"type":"Point"}', radiusM: 5 });
    const contract = await load();

    expect(contract).toMatchObject({ version: 1, vertices: 1, refusedAssignments: 0, timing });
    expect(contract.index.all).toMatchObject([
      { id: whole, scope: 's', marginM: 5, from: day(-5).getTime(), to: day(5).getTime() },
    ]);
    expect(contract.refused).toEqual([{ geofence: refused, reason: 'position_invalid' }]);
    expect(contract.assignmentsOf(imei)).toEqual([
      { device, subject: vehicle, scope: 's', from: day(-2).getTime(), to: Infinity },
    ]);
    expect(contract.ignoredOf(imei)).toEqual([{ from: day(-3).getTime(), to: day(-2).getTime() }]);
    expect(contract.assignmentsOf(deviceId(2))).toEqual([]);
  });

  test('still knows the key of a device whose assignment was removed, until the horizon', async () => {
    const { client, load } = await changesDatabase();
    const device = await insertDevice(client, imei);
    const assign = () => insertAssignment(client, device, null, { validFrom: day(-1) });
    const never = { subject: null, scope: null, from: -Infinity, to: -Infinity };
    await assign();
    await load();
    await client.query('DELETE FROM public.device_assignments');
    const removed = await load();
    await assign();
    const restored = await load();
    await client.query('DELETE FROM public.device_assignments');
    await load();
    await insertGeofence(client, { shape: circle, radiusM: 5 });
    const later = await loadContract(client, timing, loadOptions, () => day(31));

    expect(removed.assignmentsOf(imei)).toEqual([{ device, ...never }]);
    expect(restored.assignmentsOf(imei)).toMatchObject([{ device, to: Infinity }]);
    expect(later.assignmentsOf(imei)).toEqual([]);
    expect([removed, restored, later].map(({ version }) => version)).toEqual([2, 3, 5]);
  });

  test('has validities in whole milliseconds, rounded up, and without an end', async () => {
    const { client, load } = await changesDatabase();
    await insertGeofence(client, { shape: circle, radiusM: 5 });
    await client.query(
      "UPDATE public.geofences SET valid_from = '2026-11-25 12:00:00.1234+00', valid_to = 'infinity'",
    );

    expect((await load()).index.all).toMatchObject([{ from: now.getTime() + 124, to: Infinity }]);
    await client.query(
      "UPDATE public.geofences SET valid_from = NULL, valid_to = '2026-11-25 12:00:00.123+00'",
    );
    expect((await load()).index.all).toMatchObject([{ from: -Infinity, to: now.getTime() + 123 }]);
  });

  test('is enqueued before, where nobody compared it: an edit that is undone is worked out twice', async () => {
    const { client, load, enqueue, taken } = await changesDatabase();
    const device = await insertDevice(client, imei);
    await insertAssignment(client, device, null, { validFrom: day(-1) });
    const id = await insertGeofence(client, { shape: circle, radiusM: 5 });
    await enqueue();
    await taken();
    const edit = (shape: object) =>
      client.query('UPDATE public.geofences SET shape = $2 WHERE id = $1', [id, shape]);
    await edit(elsewhere);
    const edited = await load();
    await edit(circle);
    const undone = await load();

    expect([edited.version, undone.version]).toEqual([2, 3]);
    expect(await taken()).toEqual([
      [imei, day(-1), null],
      [imei, day(-1), null],
    ]);
    expect(edited.index.all[0]?.shape.coordinates).not.toEqual(
      undone.index.all[0]?.shape.coordinates,
    );
  });

  test('waits for another instance that compares, and gives up as unavailable', async () => {
    const { client, url, load } = await changesDatabase();
    await insertGeofence(client, { shape: circle, radiusM: 5 });
    const other = await session(url);
    await other.query(`BEGIN; SELECT pg_advisory_xact_lock(${0x70726f63}, 3)`);
    await expect(load()).rejects.toMatchObject({ kind: 'unavailable', code: 'CONTRACT_CHANGING' });
    expect(await readVersion(client)).toBe(0);
    const loading = load();
    await other.query('COMMIT');

    expect(await loading).toMatchObject({ version: 1 });
  });

  test('is the same at one version, whenever and by whom it is loaded', async () => {
    const { client, url, enqueue } = await changesDatabase();
    await client.query(
      `INSERT INTO public.geofences (id, status, shape, radius_m, margin_m)
       SELECT md5(n::text)::uuid, 'published', '{"type":"Point","coordinates":[25,54]}', 1, 20
         FROM generate_series(1, 500) AS n`,
    );
    await enqueue();
    // A comparison that meets another one leaves its edit to the next: a version may stand for a later radius.
    const editing = (async () => {
      for (let radius = 2; radius < 30; radius += 1) {
        await client.query('UPDATE public.geofences SET radius_m = $1', [radius]);
        if (radius % 2 === 0) await enqueue();
        else await loadUndisturbed(client);
      }
    })();
    const loaded = new Map<number, Set<number>>();
    const readers = [await session(url), await session(url)];
    const load = async (reader: (typeof readers)[number]) => {
      for (let turn = 0; turn < 10; turn += 1) {
        const { version, index } = await loadUndisturbed(reader);
        const radii = loaded.get(version) ?? new Set();
        for (const { shape } of index.all) radii.add(shape.radiusM);
        loaded.set(version, radii);
        expect(index.all).toHaveLength(500);
      }
    };
    await Promise.all([editing, ...readers.map(load)]);

    const byVersion = [...loaded].toSorted(([a], [b]) => a - b).map(([, radii]) => [...radii]);
    expect(byVersion.map((radii) => radii.length)).toEqual(byVersion.map(() => 1));
    const radii = byVersion.flat();
    expect(radii).toEqual([...new Set(radii)].toSorted((a, b) => a - b));
  });

  test('holds all rows of several pages', async () => {
    const { client, load } = await changesDatabase();
    await client.query(
      `INSERT INTO public.geofences (id, status, shape, radius_m, margin_m)
       SELECT md5(n::text)::uuid, 'published', '{"type":"Point","coordinates":[25,54]}', 10, 20
         FROM generate_series(1, 1024) AS n`,
    );
    const { index } = await load();

    expect(new Set(index.all.map(({ id }) => id)).size).toBe(1024);
  });

  test('does not hold a shape of more than 1 MB, which is refused', async () => {
    const { client, load } = await changesDatabase();
    const id = await insertGeofence(client, { shape: circle, radiusM: 5 });
    await client.query(
      `UPDATE public.geofences SET shape =
         json_build_object('type', 'Point', 'x', repeat('x', 1000000))`,
    );

    expect((await load()).refused).toEqual([{ geofence: id, reason: 'shape_too_large' }]);
  });

  test('is refused over the limits, and leaves the session usable', async () => {
    const { client, load } = await changesDatabase();
    await insertGeofence(client, { shape: circle, radiusM: 5 });
    await insertGeofence(client, { shape: circle, radiusM: 5 });

    await expect(load({ maxVertices: 1 })).rejects.toMatchObject({
      faults: [{ advice: expect.stringContaining('DOMAIN_MAX_VERTICES') }],
    });
    await expect(load({ maxGeofences: 1 })).rejects.toMatchObject({
      faults: [{ advice: expect.stringContaining('DOMAIN_MAX_GEOFENCES') }],
    });
    expect((await load()).index.all).toHaveLength(2);
  });

  test.each([
    ['1 / (n - 1) > 0', 'SQLSTATE 22012'],
    ['pg_sleep(60) IS NULL', 'longer than STATEMENT_TIMEOUT_MS'],
  ])('names a view that fails at some row: %s', async (condition, problem) => {
    const { client, load, enqueue } = await changesDatabase();
    await enqueue();
    await client.query(
      `SET statement_timeout = '3s';
       CREATE OR REPLACE VIEW processor_contract.devices_v1 AS
         SELECT n::text AS imei, n::text AS device, NULL::text AS subject, NULL::text AS scope,
                now() AS valid_from, now() AS valid_to, now() AS changed_at
           FROM generate_series(1, 3) AS n WHERE ${condition}`,
    );

    await expect(load()).rejects.toMatchObject({
      faults: [
        { object: 'processor_contract.devices_v1', problem: expect.stringContaining(problem) },
      ],
    });
  });
});
