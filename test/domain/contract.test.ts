import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DeviceId } from '../../src/core/types.ts';
import {
  ContractBrokenError,
  contractRefusals,
  type DomainContract,
  type TimingTable,
} from '../../src/domain/contract.ts';
import { contractBuilder } from '../../src/domain/contract-builder.ts';
import { isKey } from '../../src/domain/contract-keys.ts';
import type {
  AssignmentViewRow,
  FormerDeviceRow,
  GeofenceViewRow,
  IgnoredViewRow,
} from '../../src/domain/contract-rows.ts';
import { indexGeofences } from '../../src/domain/geofence-index.ts';
import type { Box } from '../../src/domain/shape.ts';
import { deviceId } from '../db/positions.ts';

const always = { from: -Infinity, to: Infinity };
const timing: TimingTable = {
  schema: 'public',
  name: 'timing_records',
  idType: 'uuid',
  deviceType: 'text',
  geofenceType: 'text',
  subject: { column: 'vehicle', type: 'integer' },
  hasCoordinates: true,
  hasDateCreated: true,
};
const limits = { maxGeofences: 1000, maxVertices: 10_000 };

function squareAt(longitude: number, latitude: number, size = 1): string {
  const [east, north] = [longitude + size, latitude + size];
  const ring = [
    [longitude, latitude],
    [east, latitude],
    [east, north],
    [longitude, north],
    [longitude, latitude],
  ];
  return JSON.stringify({ type: 'Polygon', coordinates: [ring] });
}

function fence(geofence: string | null, change: Partial<GeofenceViewRow> = {}): GeofenceViewRow {
  const shape = squareAt(0, 0);
  const numbers = { radiusM: null, marginM: 20 };
  return { geofence, scope: null, shape, isShapeTooLarge: false, ...numbers, ...always, ...change };
}

function assignment(change: Partial<AssignmentViewRow> = {}): AssignmentViewRow {
  return { imei: deviceId(1), device: 'd1', subject: null, scope: null, ...always, ...change };
}

const neverValid = (device: string) => {
  const never = { from: -Infinity, to: -Infinity };
  return { device, subject: null, scope: null, ...never };
};

interface Rows {
  readonly former?: readonly FormerDeviceRow[];
  readonly geofences?: readonly GeofenceViewRow[];
  readonly assignments?: readonly AssignmentViewRow[];
  readonly ignored?: readonly IgnoredViewRow[];
}

function contractOf(rows: Rows, table = timing, bounds = limits): DomainContract {
  const builder = contractBuilder(table, bounds);
  for (const row of rows.geofences ?? []) builder.addGeofence(row);
  for (const row of rows.assignments ?? []) builder.addAssignment(row);
  for (const row of rows.former ?? []) builder.addFormerDevice(row);
  for (const row of rows.ignored ?? []) builder.addIgnored(row);
  const finishing = builder.finish(7);
  for (;;) {
    const { done, value } = finishing.next();
    if (done === true) return value;
  }
}

/** What evaluations can see of a contract. */
function seen(contract: DomainContract, imeis: readonly DeviceId[]) {
  return {
    geofences: contract.index.all.map(({ id }) => id).toSorted(),
    refused: contract.refused.toSorted((a, b) => (a.geofence < b.geofence ? -1 : 1)),
    vertices: contract.vertices,
    assignments: imeis.map((imei) =>
      contract
        .assignmentsOf(imei)
        .map((one) => JSON.stringify(one))
        .toSorted(),
    ),
  };
}

function faultsOf(run: () => unknown): ContractBrokenError['faults'] {
  try {
    run();
  } catch (error) {
    if (!(error instanceof ContractBrokenError)) throw error;
    return error.faults;
  }
  return [];
}

describe('a contract from rows of the views', () => {
  test('names its version, its geofences and its table', () => {
    const contract = contractOf({ geofences: [fence('a'), fence('b', { scope: 's' })] });

    expect(contract).toMatchObject({ version: 7, timing, refused: [], vertices: 10 });
    expect(contract.index.all.map(({ id, scope }) => [id, scope])).toEqual([
      ['a', null],
      ['b', 's'],
    ]);
  });

  test.each<[string, Partial<GeofenceViewRow> & { geofence?: string | null }]>([
    ['id_invalid', { geofence: null }],
    ['id_invalid', { geofence: '' }],
    ['shape_too_large', { isShapeTooLarge: true, shape: null }],
    ['not_geojson', { shape: null }],
    ['not_geojson', { shape: '{' }],
    ['not_geojson', { shape: '[]' }],
    ['margin_invalid', { marginM: Number.NaN }],
    ['validity_invalid', { from: 5, to: 5 }],
    ['radius_missing', { shape: '{"type":"Point","coordinates":[1,2]}' }],
  ])('refuses a row as %s and keeps the others: %j', (reason, change) => {
    const contract = contractOf({ geofences: [fence('good'), fence('bad', change)] });

    expect(contract.refused.map((one) => one.reason)).toEqual([reason]);
    expect(contract.index.all.map(({ id }) => id)).toEqual(['good']);
    expect(contractRefusals).toContain(reason);
  });

  test('refuses a shape of more vertices than one shape may have', () => {
    const line = Array.from({ length: 10_001 }, (_, n) => [n / 1e4, 54]);
    const shape = JSON.stringify({ type: 'LineString', coordinates: line });
    const bounds = { ...limits, maxVertices: 1e6 };
    const contract = contractOf({ geofences: [fence('l', { shape, radiusM: 9 })] }, timing, bounds);

    expect(contract.refused).toEqual([{ geofence: 'l', reason: 'too_many_vertices' }]);
  });

  test('refuses every row of an id that several rows have', () => {
    const contract = contractOf({ geofences: [fence('a'), fence('b'), fence('a'), fence('a')] });

    expect(contract.refused).toEqual([{ geofence: 'a', reason: 'id_repeated' }]);
    expect(contract).toMatchObject({ vertices: 5 });
  });

  test('is broken with more geofences, or more vertices in all, than the limits', () => {
    const three = { geofences: [fence('a'), fence('b'), fence('c')] };
    const count = faultsOf(() => contractOf(three, timing, { ...limits, maxGeofences: 2 }));
    const vertices = faultsOf(() => contractOf(three, timing, { ...limits, maxVertices: 14 }));

    expect(count).toMatchObject([{ object: 'processor_contract.geofences_v1' }]);
    expect(count[0]?.advice).toContain('DOMAIN_MAX_GEOFENCES');
    expect(vertices).toMatchObject([{ object: 'processor_contract.geofences_v1.shape' }]);
    expect(vertices[0]?.advice).toContain('DOMAIN_MAX_VERTICES');
    expect(faultsOf(() => contractOf(three, timing, { maxGeofences: 3, maxVertices: 15 }))).toEqual(
      [],
    );
  });

  test('merges assignments of one holder, and knows no device without a usable row', () => {
    const unknown = deviceId(9);
    const contract = contractOf({
      assignments: [
        assignment({ from: 5, to: 9 }),
        assignment({ from: 1, to: 5 }),
        assignment({ from: 9, to: 9 }),
        assignment({ imei: unknown, device: 'd2', from: 3, to: 2 }),
      ],
    });

    expect(contract.assignmentsOf(deviceId(1))).toEqual([
      { device: 'd1', subject: null, scope: null, from: 1, to: 9 },
    ]);
    expect(contract.assignmentsOf(unknown)).toEqual([neverValid('d2')]);
    expect(contract.assignmentsOf(deviceId(2))).toEqual([]);
  });

  test('refuses every assignment of a key that several IMEIs have', () => {
    const contract = contractOf({
      assignments: [
        assignment({ from: 1, to: 2 }),
        assignment({ device: 'd2' }),
        assignment({ imei: deviceId(2), from: 5 }),
        assignment({ imei: deviceId(3), device: 'd3' }),
      ],
    });

    expect(contract.refusedAssignments).toBe(2);
    expect(contract.assignmentsOf(deviceId(1))).toMatchObject([{ device: 'd2' }]);
    expect(contract.assignmentsOf(deviceId(2))).toEqual([]);
    expect(contract.assignmentsOf(deviceId(3))).toMatchObject([{ device: 'd3' }]);
  });

  test('knows a former key of a device, unless a device has it now', () => {
    const contract = contractOf({
      assignments: [assignment(), assignment({ imei: deviceId(2), device: 'd2' })],
      former: [
        { imei: deviceId(1), device: 'd1' },
        { imei: deviceId(1), device: 'd2' },
        { imei: deviceId(1), device: 'd3' },
        { imei: deviceId(4), device: 'd4' },
        { imei: deviceId(4), device: '' },
      ],
    });

    expect(contract.assignmentsOf(deviceId(1))).toEqual([
      { device: 'd1', subject: null, scope: null, ...always },
      neverValid('d3'),
    ]);
    expect(contract.assignmentsOf(deviceId(4))).toEqual([neverValid('d4')]);
  });

  test('leaves subjects out where the table has no column for them', () => {
    const contract = contractOf(
      {
        assignments: [
          assignment({ subject: '1', from: 1, to: 5 }),
          assignment({ subject: 'x', from: 5, to: 9 }),
        ],
      },
      { ...timing, subject: null },
    );

    expect(contract.assignmentsOf(deviceId(1))).toEqual([
      { device: 'd1', subject: null, scope: null, from: 1, to: 9 },
    ]);
  });

  test('counts assignments without an IMEI or with a key that the table cannot hold', () => {
    const table = { ...timing, deviceType: 'uuid' };
    const device = '0190163d-8694-739b-aea5-966c26f8ad91';
    const contract = contractOf(
      {
        assignments: [
          assignment({ device, subject: '12' }),
          assignment({ device, imei: null }),
          assignment({ device: null }),
          assignment({ device: device.toUpperCase() }),
          assignment({ device, subject: 'twelve' }),
        ],
      },
      table,
    );

    expect(contract.refusedAssignments).toBe(4);
    expect(contract.assignmentsOf(deviceId(1))).toMatchObject([{ device, subject: '12' }]);
  });

  test('holds ignored ranges that are not empty', () => {
    const imei = deviceId(1);
    const contract = contractOf({
      ignored: [
        { imei, from: 1, to: 2 },
        { imei, from: 2, to: 2 },
        { imei: null, ...always },
        { imei, ...always },
      ],
    });

    expect(contract.ignoredOf(imei)).toEqual([{ from: 1, to: 2 }, always]);
    expect(contract.ignoredOf(deviceId(2))).toEqual([]);
  });

  test('does not depend on the order of the rows', () => {
    const imeis = [deviceId(1), deviceId(2)];
    const anyFence = fc
      .tuple(fc.constantFrom('a', 'b', 'c', 'd', ''), fc.constantFrom(null, 's'), fc.boolean())
      .map(([id, scope, isGood]) => fence(id, { scope, shape: isGood ? squareAt(0, 0) : '{}' }));
    const times = fc.constantFrom(-Infinity, 1, 5, 9, Infinity);
    const anyAssignment = fc
      .tuple(fc.constantFrom(...imeis), fc.constantFrom('1', '2', 'x'), times, times)
      .map(([imei, subject, from, to]) => assignment({ imei, device: imei, subject, from, to }));
    const rows = fc.tuple(fc.array(anyFence, { maxLength: 8 }), fc.array(anyAssignment));
    fc.assert(
      fc.property(
        rows.chain(([geofences, assignments]) =>
          fc.record({
            one: fc.constant({ geofences, assignments }),
            other: fc.record({
              geofences: fc.shuffledSubarray(geofences, { minLength: geofences.length }),
              assignments: fc.shuffledSubarray(assignments, { minLength: assignments.length }),
            }),
          }),
        ),
        ({ one, other }) => {
          expect(seen(contractOf(other), imeis)).toEqual(seen(contractOf(one), imeis));
        },
      ),
    );
  });
});

describe('a key of the views', () => {
  test.each([
    ['uuid', '0190163d-8694-739b-aea5-966c26f8ad91', true],
    ['uuid', '0190163D-8694-739b-aea5-966c26f8ad91', false],
    ['uuid', '0190163d8694739baea5966c26f8ad91', false],
    ['integer', '2147483647', true],
    ['integer', '2147483648', false],
    ['integer', '-2147483648', true],
    ['integer', '007', false],
    ['integer', '-0', false],
    ['smallint', '32768', false],
    ['bigint', '9223372036854775807', true],
    ['bigint', '9223372036854775808', false],
    ['bigint', '1.0', false],
    ['text', 'Any', true],
    ['character varying', '', false],
  ])('of type %s: %s is taken: %s', (type, text, isTaken) => {
    expect(isKey(text, type)).toBe(isTaken);
  });
});

test('a contract of many rows is finished in steps, between which others can run', () => {
  const builder = contractBuilder(timing, { maxGeofences: 1e6, maxVertices: 1e6 });
  for (let n = 0; n < 60_000; n += 1) builder.addGeofence(fence(String(n)));
  for (let n = 0; n < 20_000; n += 1) builder.addAssignment(assignment({ imei: deviceId(n) }));

  expect([...builder.finish(1)].length).toBeGreaterThanOrEqual(10);
});

test('a contract holds the coordinates of each shape, in buffers that shapes share', () => {
  const shapes = Array.from({ length: 20_000 }, (_, n) => squareAt((n % 300) - 150, n / 300));
  const geofences = shapes.map((shape, n) => fence(String(n), { shape }));
  const ring = Array.from({ length: 9000 }, (_, n) => [n / 1e4, 10 + (n % 2)]);
  const line = JSON.stringify({ type: 'LineString', coordinates: ring });
  geofences.push(fence('line', { shape: line, radiusM: 5 }));
  const { index } = contractOf({ geofences }, timing, { maxGeofences: 1e6, maxVertices: 1e6 });
  const buffers = new Set(index.all.map(({ shape }) => shape.coordinates.buffer));

  for (const { id, shape } of index.all) {
    const text = id === 'line' ? line : (shapes[Number(id)] ?? '');
    expect([...shape.coordinates]).toEqual(JSON.parse(text).coordinates.flat(Infinity));
  }
  expect(buffers.size).toBeLessThan(10);
});

test('an index of several parts finds what one part finds', () => {
  const geofences = Array.from({ length: 60_000 }, (_, n) =>
    fence(String(n), { shape: squareAt((n % 300) - 150, Math.floor(n / 300) / 2 - 50, 0.4) }),
  );
  const many = { maxGeofences: 1e6, maxVertices: 1e6 };
  const { index } = contractOf({ geofences }, timing, many);
  const boxes: Box[] = [
    [-150.5, -50.5, -148, -48],
    [0, 0, 0.1, 0.1],
    [149, 49, 151, 50],
    [179, 0, 181, 1],
  ];

  for (const box of boxes) {
    const near = index.near(box).map(({ id }) => id);
    const meets = index.all.filter(
      ({ box: [west, south, east, north] }) =>
        west <= box[2] && east >= box[0] && south <= box[3] && north >= box[1],
    );
    expect(near.toSorted()).toEqual(meets.map(({ id }) => id).toSorted());
    expect(near).toHaveLength(new Set(near).size);
  }
  expect(index.near([-180, -90, 180, 90])).toHaveLength(60_000);
  expect(index.all.every((geofence) => index.byId(geofence.id) === geofence)).toBe(true);
  expect(indexGeofences([]).near([0, 0, 1, 1])).toEqual([]);
});
