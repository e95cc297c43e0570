import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { derive } from '../../src/domain/derive.ts';
import { evaluationOf } from '../../src/domain/evaluation.ts';
import { readGeofence } from '../../src/domain/geofence.ts';
import type { Crossing, DeviceKey, Fix, GeofenceId } from '../../src/domain/types.ts';
import { circuits } from '../../src/simulator/circuit.ts';
import { geofencesOn, type SimulatedGeofence } from '../../src/simulator/circuit-geofences.ts';
import {
  type CrossingCheck,
  checkCrossings,
  formatCrossings,
  type StoredCrossing,
} from '../../src/simulator/crossing-check.ts';
import {
  createCrossingLedger,
  type DrivingDevice,
  defaultCrossingRules,
  type ExpectedCrossings,
} from '../../src/simulator/crossing-ledger.ts';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';
import { createFleet, type FleetOptions } from '../../src/simulator/fleet.ts';
import { type Habits, plainHabits, realHabits } from '../../src/simulator/habits.ts';
import { createLedger } from '../../src/simulator/ledger.ts';
import { readLedger, writeLedger } from '../../src/simulator/ledger-file.ts';

const options = { maxHopMs: defaultCrossingRules.maxHopMs, maxSilenceMs: 7 * 86_400_000 };

interface Run {
  readonly deviceIds: readonly string[];
  readonly driving: readonly DrivingDevice[];
  readonly expected: ExpectedCrossings;
  /** What an exact service writes. */
  readonly stored: StoredCrossing[];
  readonly methods: ReadonlySet<string>;
}

function run(changes: Partial<FleetOptions> & { readonly records?: number } = {}): Run {
  const { records = 12_000, ...others } = changes;
  const fleet = createFleet({
    seed: 1,
    baseTime: Date.UTC(2026, 5, 1),
    devices: 20,
    form: 'mixed',
    packetRecords: 8,
    expectedRecords: records,
    drivesCircuits: true,
    ...others,
  });
  const ledger = createCrossingLedger(fleet.driving);
  const entries: SimulatedEntry[] = [];
  for (let sent = 0; sent < records; sent += entries.at(-1)?.records.length ?? 0) {
    const entry = fleet.next();
    entries.push(entry);
    ledger.add(entry);
  }
  const fixes = fixesOf(entries);
  const crossings = fleet.driving
    .filter(({ isRegistered }) => isRegistered)
    .flatMap((device) => derived(device, fixes.get(device.deviceId) ?? []));
  return {
    deviceIds: fleet.deviceIds,
    driving: fleet.driving,
    expected: ledger.expected(),
    stored: crossings,
    methods: new Set(crossings.map(({ method }) => method)),
  };
}

/** As the table has them: one row a time, without those that are no fix. */
function fixesOf(entries: readonly SimulatedEntry[]): Map<string, Fix[]> {
  const byDevice = new Map<string, Map<number, Fix>>();
  for (const record of entries.flatMap(({ records }) => records)) {
    if (record.kind !== 'position' || !record.content.fix) continue;
    const { latitude, longitude, satellites } = record.content;
    if (latitude === null || longitude === null || (satellites ?? 0) < 4) continue;
    const known = byDevice.get(record.deviceId) ?? new Map<number, Fix>();
    byDevice.set(record.deviceId, known);
    if (!known.has(record.ts)) known.set(record.ts, { ts: record.ts, latitude, longitude });
  }
  return new Map(
    [...byDevice].map(([id, fixes]) => [id, [...fixes.values()].toSorted((a, b) => a.ts - b.ts)]),
  );
}

function derived(
  device: DrivingDevice,
  fixes: readonly Fix[],
): (Crossing & { device: DeviceKey })[] {
  const assignment = {
    device: device.deviceId as DeviceKey,
    subject: null,
    scope: null,
    from: -Infinity,
    to: Infinity,
  };
  const evaluations = device.geofences.flatMap((geofence) => {
    return evaluationOf(geofenceOf(geofence), assignment) ?? [];
  });
  return derive(fixes, evaluations, options);
}

function geofenceOf({ id, shape, radiusM, marginM }: SimulatedGeofence) {
  const validity = { from: -Infinity, to: Infinity };
  const row = { id: id as GeofenceId, scope: null, shape, radiusM, marginM, ...validity };
  const read = readGeofence(row, { maxVertices: 1_000 });
  if (!read.ok) throw new Error(read.refusal);
  return read.geofence;
}

async function* pageOf(stored: readonly StoredCrossing[]) {
  await Promise.resolve();
  yield stored;
}

function check(
  { expected, deviceIds }: Run,
  stored: readonly StoredCrossing[],
): Promise<CrossingCheck> {
  return checkCrossings(expected, deviceIds, { crossings: () => pageOf(stored) });
}

test('the same seed gives the same drives, geofences and expected crossings', () => {
  expect(run().expected).toEqual(run().expected);
  expect(run({ seed: 2 }).expected).not.toEqual(run().expected);
});

test.each([
  ['a fleet with all its faults', realHabits],
  ['a fleet without faults', plainHabits],
  ['a fleet that sends most records late and twice', { ...realHabits, outage: 0.05, repeat: 0.5 }],
  ['a fleet that loses one record in ten', { ...realHabits, badRecord: 0.1, corrupt: 0.05 }],
])('an exact service finds each crossing of %s, and no more', async (_, habits: Habits) => {
  for (let seed = 1; seed <= 6; seed += 1) {
    const found = run({ seed, habits });
    const result = await check(found, found.stored);
    expect(result.problems).toEqual([]);
    expect(result).toMatchObject({ missing: 0, extra: 0, found: result.expected });
    expect(result.expected).toBeGreaterThan(500);
  }
});

test('a drive has crossings of every kind but an ended one, and of every geofence', () => {
  const { stored, methods, driving } = run({ habits: realHabits });
  expect([...methods].toSorted()).toEqual(['first_fix', 'gap', 'interpolated', 'passed']);
  const ids = driving.flatMap(({ geofences }) => geofences.map(({ id }) => id));
  expect(new Set(stored.map(({ geofence }) => geofence))).toEqual(new Set(ids));
  expect(new Set(ids).size).toBe(6 * circuits.length);
});

test('nearly all crossings are required, and dated to a fraction of a second', () => {
  const { crossings } = run({ habits: realHabits }).expected;
  const required = crossings.filter(({ isRequired }) => isRequired);
  expect(required.length / crossings.length).toBeGreaterThan(0.99);
  const exact = required.filter(({ earliest, latest }) => latest - earliest < 1_000);
  expect(exact.length / required.length).toBeGreaterThan(0.9);
});

test('faults of the fleet hardly change what is expected', () => {
  const real = run({ habits: { ...realHabits, badRecord: 0, wrongClock: 0, corrupt: 0 } });
  for (const { drive, deviceId } of real.driving.filter(({ isRegistered }) => isRegistered)) {
    const own = real.expected.crossings.filter(({ device }) => device === deviceId);
    const last = Math.max(...own.map(({ latest }) => latest));
    const entered = drive.visits.filter(({ from, to }) => from > -Infinity && to < last);
    const expected = own.filter(({ direction }) => direction === 'enter');
    expect(Math.abs(expected.length - entered.length)).toBeLessThanOrEqual(3);
  }
});

test('a lost, a doubled, a late and a foreign timing record are each found', async () => {
  const good = run({ habits: plainHabits });
  const [first, ...rest] = good.stored;
  if (first === undefined) throw new Error('no crossing');
  const unregistered = good.driving.find(({ isRegistered }) => !isRegistered)?.deviceId ?? '';
  const cases = [
    { stored: rest, missing: 1, extra: 0 },
    { stored: [...good.stored, first], missing: 0, extra: 1 },
    { stored: [{ ...first, at: first.at + 15_000 }, ...rest], missing: 1, extra: 1 },
    { stored: [...good.stored, { ...first, device: unregistered }], missing: 0, extra: 1 },
    { stored: [...good.stored, { ...first, geofence: 'of another run' }], missing: 0, extra: 0 },
  ];
  for (const { stored, missing, extra } of cases) {
    const result = await check(good, stored);
    expect(result).toMatchObject({ missing, extra });
    expect(formatCrossings(result)).toMatch(
      /^crossings expected=\d+ found=\d+ missing=\d+ extra=\d+$/,
    );
    expect(result.problems).toHaveLength(missing + extra);
  }
});

test('the ledger file keeps expected crossings, also of two runs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'processor-crossings-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const both = createLedger();
  const runs = [run({ records: 3_000 }), run({ records: 3_000, seed: 2 })];
  for (const [index, { expected }] of runs.entries()) {
    const ledger = createLedger();
    ledger.addCrossings(expected);
    const path = join(folder, String(index));
    await writeLedger(ledger, path);
    expect((await readLedger(path)).crossings).toEqual(expected);
    await readLedger(path, both);
  }
  expect(both.crossings?.crossings).toEqual(runs.flatMap(({ expected }) => expected.crossings));
  const rules = { maxHopMs: 60_000, minSatellites: 4 };
  expect(() => both.addCrossings({ rules, geofences: new Set(), crossings: [] })).toThrow(
    'DOMAIN_MAX_HOP',
  );
});

test('a ledger of a fleet without geofences expects no timing records', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'processor-crossings-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'ledger');
  await writeLedger(createLedger(), path);
  expect((await readLedger(path)).crossings).toBeNull();
});

test('every circuit gives geofences that the service takes', () => {
  for (const circuit of circuits) {
    const geofences = geofencesOn(circuit, 'a run');
    expect(geofences.map((geofence) => geofenceOf(geofence).id)).toHaveLength(6);
  }
});
