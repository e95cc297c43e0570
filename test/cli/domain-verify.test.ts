import { beforeEach, describe, expect, test } from 'vitest';
import { enqueueChanges } from '../../src/db/domain-changes.ts';
import { derive } from '../../src/domain/derive.ts';
import { type Evaluation, evaluationOf } from '../../src/domain/evaluation.ts';
import { readGeofence } from '../../src/domain/geofence.ts';
import type { Crossing, Fix } from '../../src/domain/types.ts';
import { deviceKey, geofenceId, subjectKey } from '../domain/places.ts';
import { driveFrom, emptyOutbox, insertCircle, insertFixes, insertRecord } from './domain-drive.ts';
import { domainOn, useDomainStack } from './domain-stack.ts';
import { imei } from './stack.ts';

const stack = useDomainStack();
const device = imei(1);
const hour = 3_600_000;
const start = Math.floor(Date.now() / hour) * hour - 2 * hour;
const options = { maxHopMs: 120_000, maxSilenceMs: 7 * 24 * hour };

let evaluation: Evaluation;
let geofence: string;

/** What is right, by the definition. */
const derived = (fixes: readonly Fix[]): Crossing[] => derive(fixes, [evaluation], options);

beforeEach(async () => {
  const keys = await stack.addDevice(device);
  geofence = await stack.onDatabase(insertCircle);
  evaluation = evaluationOfCircle(keys);
});

function evaluationOfCircle(keys: { device: string; vehicle: string }): Evaluation {
  const shape = { type: 'Point', coordinates: [25, 54] };
  const row = { id: geofenceId(geofence), scope: null, shape, radiusM: 200, marginM: 0 };
  const read = readGeofence({ ...row, from: -Infinity, to: Infinity }, { maxVertices: 10 });
  if (!read.ok) throw new Error('refused');
  const assignment = {
    device: deviceKey(keys.device),
    subject: subjectKey(keys.vehicle),
    scope: null,
    from: 0,
    to: Infinity,
  };
  const found = evaluationOf(read.geofence, assignment);
  if (found === null) throw new Error('no evaluation');
  return found;
}

/** Stores a drive and the timing records, and leaves a worker nothing to do. */
async function stored(fixes: readonly Fix[], records: readonly Crossing[]): Promise<void> {
  await stack.onDatabase(async (client) => {
    await insertFixes(client, device, fixes);
    for (const record of records) await insertRecord(client, record);
    await enqueueChanges(client, { maxGeofences: 10, recomputeHorizonMs: hour }, new Date());
    await emptyOutbox(client);
  });
}

const verify = (...words: string[]) => stack.domain('verify', '--device', device, ...words);

describe('processor domain verify', () => {
  test('ends with 0 where every crossing is stored', async () => {
    const fixes = driveFrom(start);
    const records = derived(fixes);
    expect(records.map(({ direction }) => direction)).toEqual(['enter', 'exit']);
    await stored(fixes, records);
    const { code, stdout, stderr } = await verify();
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('fixes    21\nsame     2\nmissing  0\nextra    0\n');
  });

  test('lists a missing and an extra timing record, and ends with 4', async () => {
    const fixes = driveFrom(start);
    const [enter, exit] = derived(fixes);
    if (enter === undefined || exit === undefined) throw new Error('no crossings');
    await stored(fixes, [enter, { ...exit, at: exit.at + 5000 }]);
    const { code, stdout } = await verify('--json');
    expect(code).toBe(4);
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({ fixes: 21, unchanged: 1, missing: 1, extra: 1 });
    const at = (ms: number) => new Date(ms).toISOString();
    expect(found.findings).toMatchObject([
      { kind: 'missing', imei: device, geofence, direction: 'exit', at: at(exit.at) },
      { kind: 'extra', imei: device, geofence, direction: 'exit', at: at(exit.at + 5000) },
    ]);
    const one = await verify('--limit', '1');
    expect(one.stdout).toContain('and 1 more; list them with --limit\n');
  });

  test('takes a superseded record for missing, and leaves records of people alone', async () => {
    const fixes = driveFrom(start);
    await stored(fixes, derived(fixes));
    await stack.query(
      `UPDATE public.timing_records SET source = 'manual' WHERE direction = 'enter'`,
    );
    const manual = await verify('--json');
    expect([manual.code, JSON.parse(manual.stdout)]).toMatchObject([4, { missing: 1, extra: 0 }]);
    await stack.query(
      `UPDATE public.timing_records SET source = 'processor', superseded_at = now() WHERE direction = 'enter'`,
    );
    const superseded = await verify('--json');
    expect([superseded.code, JSON.parse(superseded.stdout)]).toMatchObject([
      4,
      { missing: 1, extra: 0 },
    ]);
  });

  test('calls a difference work to do while the device has ranges in the outbox or is parked', async () => {
    const fixes = driveFrom(start);
    await stored(fixes, []);
    await stack.query(
      `INSERT INTO positions.outbox (device_id, from_ts, to_ts) VALUES ('${device}', now(), now())`,
    );
    const queued = await verify();
    expect(queued.code).toBe(3);
    expect(queued.stdout).toContain('1 device has ranges in the outbox or parked');
    await stack.query(`WITH gone AS (DELETE FROM positions.outbox RETURNING device_id, from_ts, to_ts)
      INSERT INTO positions.outbox_parked (device_id, from_ts, to_ts, attempts, error) SELECT *, 5, 'x' FROM gone`);
    expect((await verify()).code).toBe(3);
  });

  test('that begins inside the geofence takes the state from the fix before', async () => {
    const fixes = driveFrom(start);
    await stored(fixes, derived(fixes));
    const middle = new Date(start + 105_000).toISOString();
    const { code, stdout } = await verify('--from', middle, '--json');
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { fixes: 10, unchanged: 1 }]);
  });

  test('neither misses nor finds what happened where positions were deleted', async () => {
    const fixes = driveFrom(start);
    await stored(fixes, derived(fixes));
    const middle = new Date(start + 95_000).toISOString();
    await stack.query(`DELETE FROM public.positions WHERE ts < '${middle}'`);
    const { code, stdout } = await verify('--json');
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { missing: 0, extra: 0, unchanged: 1 }]);
  });

  test('leaves a record alone whose own position was deleted, and not one whose position is unusable', async () => {
    const fixes = driveFrom(start);
    await stored(fixes, derived(fixes));
    const inside = "ts IN (SELECT after_ts FROM public.timing_records WHERE direction = 'enter')";
    await stack.query(`UPDATE public.positions SET satellites = 1`);
    const unusable = await verify('--json');
    const found = JSON.parse(unusable.stdout);
    expect([unusable.code, found]).toMatchObject([4, { fixes: 0, extra: 2, kept: 0 }]);
    await stack.query(`DELETE FROM public.positions WHERE ${inside}`);
    const deleted = await verify('--json');
    expect(JSON.parse(deleted.stdout)).toMatchObject({ extra: 1, kept: 1 });
    const text = await verify();
    expect(text.stdout).toContain('1 timing record of deleted positions: not examined\n');
  });

  test('says what RETENTION leaves out', async () => {
    const env = {
      ...domainOn,
      RETENTION: '10d',
      TS_MAX_PAST: '9d',
      DOMAIN_RECOMPUTE_HORIZON: '9d',
    };
    const words = ['domain', 'verify', '--device', device];
    const asked = await stack.processorWith(env, ...words, '--from', '20d');
    expect(asked.code).toBe(3);
    expect(asked.stdout).toMatch(/not examined before \S+: RETENTION\n/);
    const { code, stdout } = await stack.processorWith(env, ...words);
    expect([code, stdout]).toEqual([0, expect.not.stringContaining('RETENTION')]);
  });

  test('calls a difference work to do while an edit of the views is not enqueued', async () => {
    const fixes = driveFrom(start);
    await stored(fixes, derived(fixes));
    await stack.query('UPDATE public.geofences SET radius_m = 150');
    const { code, stdout } = await verify();
    expect(code).toBe(3);
    expect(stdout).toContain('1 row of the views is not enqueued yet');
  });

  test('of all devices says how many it left out', async () => {
    await stack.addDevice(imei(2));
    const some = await stack.domain('verify', '--all', '--max-devices', '1');
    expect(some.code).toBe(3);
    expect(some.stdout).toContain('devices  1 of 2\n');
    expect(some.stdout).toContain('1 device was not examined: --max-devices\n');
    const all = await stack.domain('verify', '--all', '--json');
    expect([all.code, JSON.parse(all.stdout)]).toMatchObject([0, { devices: 2, devices_found: 2 }]);
  });

  test('of a device that Directus does not know says so', async () => {
    const { code, stdout } = await stack.domain('verify', '--device', imei(9));
    expect([code, stdout]).toEqual([
      0,
      expect.stringContaining('1 device without an assignment\n'),
    ]);
  });

  test('with a broken contract verifies nothing', async () => {
    await stack.query('DROP VIEW processor_contract.devices_v1');
    const { code, stdout, stderr } = await verify();
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(
      'nothing was verified: the contract is broken: processor_contract.devices_v1',
    );
  });
});

describe('processor domain recompute', () => {
  const outbox = () =>
    stack.query<{ device_id: string; to_ts: string }>(
      'SELECT device_id, from_ts::text, to_ts::text FROM positions.outbox ORDER BY 1',
    );

  test('adds the range of one device, with an audit line that does not name it', async () => {
    const range = ['--from', '2026-01-01', '--to', '2026-01-02'];
    const { code, stdout } = await stack.domain('recompute', '--device', device, ...range, '--yes');
    expect(code).toBe(0);
    expect(stdout).toBe(
      'added ranges of 1 device to the outbox, from 2026-01-01T00:00:00.000Z to 2026-01-02T00:00:00.000Z\n',
    );
    expect(await outbox()).toMatchObject([{ device_id: device }]);
    const audit = JSON.stringify(
      await stack.redis.xrange('telemetry:teltonika:control:audit', '-', '+'),
    );
    expect(audit).toContain('domain recompute');
    expect(audit).not.toContain(device);
  });

  test('of all devices adds an open range for each assigned one', async () => {
    await stack.addDevice(imei(2));
    const { stdout } = await stack.domain('recompute', '--all', '--yes', '--json');
    expect(JSON.parse(stdout)).toEqual({ enqueued: 2 });
    expect((await outbox()).map((row) => [row.device_id, row.to_ts])).toEqual([
      [imei(1), 'infinity'],
      [imei(2), 'infinity'],
    ]);
  });

  test('of a geofence adds the devices of its scope', async () => {
    await stack.addDevice(imei(2));
    await stack.query(`UPDATE public.vehicles SET scope = 'north' WHERE name LIKE '%${imei(2)}'`);
    await stack.query(`UPDATE public.geofences SET scope = 'north'`);
    const { stdout } = await stack.domain('recompute', '--geofence', geofence, '--yes', '--json');
    expect(JSON.parse(stdout)).toEqual({ enqueued: 1 });
    expect(await outbox()).toMatchObject([{ device_id: imei(2) }]);
  });

  test('of a geofence that there is not is refused', async () => {
    const { code, stderr } = await stack.domain('recompute', '--geofence', 'x', '--yes');
    expect([code, stderr]).toEqual([2, 'processor: geofences_v1 has no geofence x\n']);
  });

  test('with --dry-run prints the difference and adds nothing', async () => {
    const fixes = driveFrom(start);
    await stored(fixes, []);
    const dry = await stack.domain('recompute', '--device', device, '--dry-run', '--json');
    expect([dry.code, JSON.parse(dry.stdout)]).toMatchObject([
      0,
      { dry_run: true, missing: 2, extra: 0 },
    ]);
    const all = await stack.domain('recompute', '--all', '--dry-run');
    expect(all.stdout).toMatch(/^would insert what is missing and supersede what is extra:\n/);
    expect(await outbox()).toEqual([]);
  });
});

describe('processor domain show', () => {
  test('lists assignments, queued ranges and timing records, newest first', async () => {
    const fixes = driveFrom(start);
    const records = derived(fixes);
    await stored(fixes, records);
    await stack.domain('recompute', '--device', device, '--yes');
    const { code, stdout } = await stack.domain('show', '--device', device, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      device,
      assignments: [{ scope: null, to: null }],
      outbox: { rows: 1, to: null },
      parked: null,
      has_more: false,
      records: [
        { direction: 'exit', geofence, method: 'interpolated', source: 'processor' },
        { direction: 'enter', geofence, superseded_at: null },
      ],
    });
    const text = await stack.domain('show', '--device', device, '--limit', '1');
    expect(text.stdout).toContain('there are more; list them with --limit\n');
  });

  test('leaves superseded timing records out unless they are asked for', async () => {
    const fixes = driveFrom(start);
    await stored(fixes, derived(fixes));
    await stack.query('UPDATE public.timing_records SET superseded_at = now()');
    const live = await stack.domain('show', '--device', device);
    expect(live.stdout).toContain('no timing records in the range\n');
    const all = await stack.domain('show', '--device', device, '--superseded', '--json');
    expect(JSON.parse(all.stdout).records).toHaveLength(2);
  });

  test('of a device that Directus does not know says so', async () => {
    const { code, stdout } = await stack.domain('show', '--device', imei(9));
    expect([code, stdout]).toEqual([0, expect.stringContaining('no: Directus does not know it\n')]);
  });
});
