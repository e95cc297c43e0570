import { describe, expect, test } from 'vitest';
import { enqueueChanges } from '../../src/db/domain-changes.ts';
import { insertGeofence } from '../../tools/domain-fixture.ts';
import { useDomainStack } from './domain-stack.ts';
import { imei } from './stack.ts';

const stack = useDomainStack();

const insertPosition = (device: string) =>
  stack.query(`INSERT INTO positions (device_id, ts, latitude, longitude, satellites, priority, fix, codec, attributes)
    VALUES ('${device}', now(), 54.7, 25.3, 9, 0, true, '8', '{}')`);

describe('processor domain status', () => {
  test('ends with 0 where nothing waits and the contract is as promised', async () => {
    const { code, stdout, stderr } = await stack.domain('status');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('domain    on\n');
    expect(stdout).toContain('outbox    0 ranges of 0 devices\n');
    expect(stdout).toContain('contract  as promised, 0 geofences\n');
    expect(stdout).toMatch(/\nall is well\n$/);
  });

  test('counts ranges, and devices that Directus does not know', async () => {
    await stack.addDevice(imei(1));
    await insertPosition(imei(1));
    await insertPosition(imei(2));
    // What a worker does at its start.
    const options = { maxGeofences: 10, recomputeHorizonMs: 3_600_000 };
    await stack.onDatabase((client) => enqueueChanges(client, options, new Date()));
    const { code, stdout } = await stack.domain('status', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      attention: [],
      domain: 'on',
      trigger: true,
      outbox: { rows: 3, devices: 2, oldest_seconds: expect.any(Number) },
      parked_devices: 0,
      pause: null,
      contract: { ok: true, faults: [] },
      unknown_devices: 1,
    });
  });

  test('names a pause, old ranges, parked devices and a broken contract, and ends with 3', async () => {
    await stack.domain('pause', '--reason', 'drawing', '--by', 'ann', '--yes');
    await stack.query(`INSERT INTO positions.outbox (device_id, from_ts, to_ts, enqueued_at)
      VALUES ('${imei(1)}', now(), now(), now() - interval '2 minutes 5 seconds')`);
    await stack.query(`INSERT INTO positions.outbox_parked (device_id, from_ts, to_ts, attempts, error)
      SELECT lpad(n::text, 15, '3'), '2026-01-01Z', 'infinity', 5, '22003' FROM generate_series(1, 25) AS n`);
    await stack.query('DROP VIEW processor_contract.devices_v1');
    const { code, stdout } = await stack.domain('status');
    expect(code).toBe(3);
    expect(stdout).toContain('! paused by ann at ');
    expect(stdout).toMatch(/! the oldest range waits for 2m \d+s\n/);
    expect(stdout).toContain(
      '! 25 devices are parked after repeated failures: processor domain retry\n',
    );
    expect(stdout).toContain('! the contract is broken: 1 fault: processor domain contract\n');
    // The output is bounded, and says so.
    expect(stdout.split('\n').filter((line) => line.startsWith('3333'))).toHaveLength(20);
    expect(stdout).toContain('and 5 more\n');
    expect(stdout).toContain('not well: 4 lines with !\n');
  });

  test('ends with 0 and says that the domain is off', async () => {
    await stack.processor('migrate', 'up', '--yes');
    const { code, stdout } = await stack.processor('domain', 'status');
    expect([code, stdout]).toEqual([0, expect.stringContaining('domain    off\n')]);
  });

  test('tells a missing trigger, and one that DOMAIN=off left', async () => {
    const off = await stack.processor('domain', 'status');
    expect([off.code, off.stdout]).toEqual([3, expect.stringContaining('! DOMAIN is off here')]);
    await stack.processor('migrate', 'up', '--yes');
    const on = await stack.domain('status');
    expect([on.code, on.stdout]).toEqual([3, expect.stringContaining('! DOMAIN is on, and')]);
  });

  test('that finds no tables names the remedy', async () => {
    await stack.query('DROP TABLE positions.outbox');
    const { code, stderr } = await stack.domain('status');
    expect(code).toBe(1);
    expect(stderr).toContain('42P01: a table is missing: run the migrations');
  });
});

describe('processor domain contract', () => {
  test('ends with 0 where the contract is as promised', async () => {
    const { code, stdout } = await stack.domain('contract');
    expect([code, stdout]).toEqual([0, 'the contract is as promised: 0 geofences evaluated\n']);
  });

  test('names each fault with the statement that fixes it, and ends with 3', async () => {
    await stack.query('DROP VIEW processor_contract.geofences_v1');
    await stack.query('ALTER TABLE public.timing_records DROP COLUMN method');
    const { code, stdout } = await stack.domain('contract');
    expect(code).toBe(3);
    expect(stdout).toContain(
      'x processor_contract.geofences_v1: the view is missing\n    as its owner: ',
    );
    expect(stdout).toContain(
      'x public.timing_records.method: the column is missing\n    ALTER TABLE ',
    );
    expect(stdout).toMatch(/\nthe contract is broken: 2 faults; .*\n$/);
    const { stdout: json } = await stack.domain('contract', '--json');
    expect(JSON.parse(json)).toMatchObject({
      ok: false,
      faults: [
        { object: 'processor_contract.geofences_v1' },
        { object: 'public.timing_records.method' },
      ],
    });
  });

  test('with a missing index is as promised, with a warning', async () => {
    await stack.query('DROP INDEX public.timing_records_live_device');
    const { code, stdout } = await stack.domain('contract');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^! public\.timing_records: no index on .*\n {4}CREATE INDEX /);
  });

  test('lists refused rows of the views with their reasons, and ends with 3', async () => {
    await stack.addDevice(imei(1));
    await stack.query('ALTER TABLE public.devices ALTER COLUMN imei DROP NOT NULL');
    await stack.query('UPDATE public.devices SET imei = NULL');
    const unclosed = {
      type: 'Polygon',
      coordinates: [
        [
          [25, 54],
          [26, 54],
          [26, 55],
        ],
      ],
    };
    const circle = { type: 'Point', coordinates: [25, 54] };
    const ids = await stack.onDatabase(async (client) => [
      await insertGeofence(client, { shape: unclosed }),
      await insertGeofence(client, { shape: circle }),
      await insertGeofence(client, { shape: circle, radiusM: 50 }),
    ]);
    const { code, stdout } = await stack.domain('contract', '--json');
    expect(code).toBe(3);
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({
      ok: true,
      geofences: 1,
      refused_geofences: 2,
      refused_assignments: 1,
    });
    const named = found.refused.map(({ geofence }: { geofence: string }) => geofence);
    expect(named.toSorted()).toEqual(ids.slice(0, 2).toSorted());
    const text = await stack.domain('contract', '--limit', '1');
    expect(text.stdout).toContain('and 1 more; list them with --limit\n');
    const status = await stack.domain('status');
    expect(status.code).toBe(3);
    expect(status.stdout).toContain('! 2 geofences are refused: processor domain contract\n');
    expect(status.stdout).toContain('! 1 assignment is refused: processor domain contract\n');
    // A command that reads enqueues nothing and remembers nothing.
    expect(await stack.query('SELECT key FROM positions.domain_seen')).toEqual([]);
    expect(await stack.query('SELECT id FROM positions.outbox')).toEqual([]);
  });

  test('can be checked before the domain is turned on', async () => {
    const { code, stdout } = await stack.processor('domain', 'contract');
    expect([code, stdout]).toEqual([0, 'the contract is as promised: 0 geofences evaluated\n']);
  });
});
