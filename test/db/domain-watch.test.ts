import { describe, expect, test } from 'vitest';
import { contractWatch, type WatchTurn } from '../../src/db/domain-watch.ts';
import { insertAssignment, insertDevice, insertGeofence } from '../../tools/domain-fixture.ts';
import {
  changesDatabase,
  circle,
  day,
  elsewhere,
  loadOptions,
  now,
  session,
} from './domain-changes-subject.ts';
import { timingOptions } from './domain-contract-subject.ts';
import { connect, deviceId } from './positions.ts';

const imei = deviceId(1);

/** A database with one device and one geofence, and a watch whose clock the test moves. */
async function watched() {
  const database = await changesDatabase();
  const { client, url } = database;
  const device = await insertDevice(client, imei);
  await insertAssignment(client, device, null, { validFrom: day(-1) });
  const geofence = await insertGeofence(client, { shape: circle, radiusM: 5 });
  const clock = { ms: now.getTime() };
  const watch = contractWatch({ ...loadOptions, ...timingOptions }, () => clock.ms);
  const reader = await session(url);
  return {
    ...database,
    geofence,
    clock,
    watch,
    turn: () => watch.turn(reader),
    update: (change: string) => client.query(`UPDATE public.geofences SET ${change}`),
  };
}

const versionOf = (turn: WatchTurn) => (turn.ok ? turn.contract.version : null);

describe('the watch of the contract', () => {
  test('loads at its first turn, and holds the same contract while nothing changes', async () => {
    const { turn, taken } = await watched();
    const first = await turn();
    const second = await turn();

    expect(first).toMatchObject({ ok: true, isNew: true, changed: 2, warnings: [] });
    expect(versionOf(first)).toBe(1);
    expect(second).toMatchObject({ ok: true, isNew: false, changed: 0, enqueued: 0 });
    expect(second.ok && first.ok && second.contract === first.contract).toBe(true);
    expect(await taken()).toHaveLength(2);
  });

  test('enqueues an edit at the next turn, and loads it', async () => {
    const { turn, update, taken } = await watched();
    await turn();
    await taken();
    await update('radius_m = 6');

    expect(await turn()).toMatchObject({ ok: true, isNew: true, changed: 1, enqueued: 1 });
    expect(await taken()).toEqual([[imei, day(-1), null]]);
  });

  test('loads what another instance compared', async () => {
    const { turn, update, enqueue } = await watched();
    await turn();
    await update('radius_m = 6');
    await enqueue();

    expect(await turn()).toMatchObject({ ok: true, isNew: true, changed: 0 });
    expect(await turn()).toMatchObject({ ok: true, isNew: false });
  });

  test('finds an edit that the poll cannot see within five minutes', async () => {
    const { turn, clock, update } = await watched();
    await turn();
    await update(`shape = '${JSON.stringify(elsewhere)}'`);
    clock.ms += 299_000;
    expect(await turn()).toMatchObject({ ok: true, changed: 0 });
    clock.ms += 1000;

    expect(await turn()).toMatchObject({ ok: true, isNew: true, changed: 1 });
  });

  test('compares at the next turn what another instance was comparing', async () => {
    const { turn, update, url } = await watched();
    await turn();
    await update('radius_m = 6');
    const other = await session(url);
    await other.query(`BEGIN; SELECT pg_advisory_xact_lock(${0x70726f63}, 3)`);
    await expect(turn()).resolves.toMatchObject({ ok: true, isNew: false, changed: 0 });
    await other.query('COMMIT');

    expect(await turn()).toMatchObject({ ok: true, isNew: true, changed: 1 });
  });

  test('names a view that is dropped at once, and continues at the turn after it is put back', async () => {
    const { client, turn, taken } = await watched();
    await turn();
    await taken();
    const { rows } = await client.query<{ text: string }>(
      "SELECT pg_get_viewdef('processor_contract.geofences_v1'::regclass) AS text",
    );
    await client.query('DROP VIEW processor_contract.geofences_v1');
    const missing = { object: 'processor_contract.geofences_v1' };
    for (let times = 0; times < 3; times += 1) {
      expect(await turn()).toMatchObject({ ok: false, faults: [missing] });
    }
    await client.query(`CREATE VIEW processor_contract.geofences_v1 AS ${rows[0]?.text}`);

    expect(await turn()).toMatchObject({ ok: true, isNew: false, changed: 0 });
    expect(await taken()).toEqual([]);
  });

  test('enqueues what was edited while the contract was broken', async () => {
    const { client, turn, update, taken, clock } = await watched();
    await turn();
    await taken();
    await client.query('ALTER TABLE public.timing_records RENAME COLUMN method TO how');
    clock.ms += 30_000;
    await update(`shape = '${JSON.stringify(elsewhere)}'`);
    expect(await turn()).toMatchObject({ ok: false });
    await client.query('ALTER TABLE public.timing_records RENAME COLUMN how TO method');

    expect(await turn()).toMatchObject({ ok: true, isNew: true, changed: 1, enqueued: 1 });
  });

  test('checks the timing table every 30 seconds, and at each turn while it is broken', async () => {
    const { client, turn, clock } = await watched();
    await turn();
    await client.query('ALTER TABLE public.timing_records RENAME COLUMN method TO how');
    clock.ms += 29_000;
    expect(await turn()).toMatchObject({ ok: true });
    clock.ms += 1000;
    expect(await turn()).toMatchObject({
      ok: false,
      faults: [{ object: 'public.timing_records.method' }],
    });
    await client.query('ALTER TABLE public.timing_records RENAME COLUMN how TO method');

    expect(await turn()).toMatchObject({ ok: true, isNew: false });
  });

  test('loads again when the timing table has other types', async () => {
    const { client, turn, clock } = await watched();
    await turn();
    await client.query('ALTER TABLE public.timing_records DROP COLUMN latitude');
    clock.ms += 30_000;

    expect(await turn()).toMatchObject({
      ok: true,
      isNew: true,
      contract: { timing: { hasCoordinates: false } },
    });
  });

  test('is off over the limits, and continues within one turn', async () => {
    const { client, url, turn: _, geofence } = await watched();
    const limits = { ...loadOptions, maxGeofences: 1, ...timingOptions };
    const watch = contractWatch(limits, () => now.getTime());
    const reader = await session(url);
    expect(await watch.turn(reader)).toMatchObject({ ok: true });
    await insertGeofence(client, { shape: circle, radiusM: 7 });
    expect(await watch.turn(reader)).toMatchObject({
      ok: false,
      faults: [{ advice: expect.stringContaining('DOMAIN_MAX_GEOFENCES') }],
    });
    await client.query('DELETE FROM public.geofences WHERE id <> $1', [geofence]);

    expect(await watch.turn(reader)).toMatchObject({ ok: true, changed: 0 });
  });

  test('rejects while the database is not available', async () => {
    const { url, watch, client } = await watched();
    const reader = await connect(url);
    const { rows } = await reader.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await client.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);

    await expect(watch.turn(reader)).rejects.toMatchObject({
      name: 'DependencyError',
      kind: 'unavailable',
    });
  });
});
