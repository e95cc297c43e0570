import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeviceStates } from '../../src/core/device-state.ts';
import {
  DependencyError,
  type DeviceId,
  type DeviceState,
  type Position,
} from '../../src/core/types.ts';
import { deviceId, position } from './parts.ts';

const horizonMs = 30 * 86_400_000;

/** States over a store of last positions, and a record of every look-up. */
function setUp(
  stored: readonly (readonly [DeviceId, DeviceState])[] = [],
  { capacity = 100, negativeTtlMs = 60_000 } = {},
) {
  const store = new Map(stored);
  const asked: { devices: readonly DeviceId[]; fromMs: number; toMs: number }[] = [];
  const reported: [string, number][] = [];
  const clock = { ms: 1_000_000_000_000 };
  const gate: { wait: Promise<void>; failure: Error | null } = {
    wait: Promise.resolve(),
    failure: null,
  };
  let evicted = 0;
  const states = new DeviceStates({
    capacity,
    rehydrateHorizonMs: horizonMs,
    negativeTtlMs,
    async rehydrate(devices, range) {
      asked.push({ devices, ...range });
      await gate.wait;
      if (gate.failure !== null) throw gate.failure;
      return new Map([...store].filter(([device]) => devices.includes(device)));
    },
    now: () => clock.ms,
    onLookup: (result, devices) => reported.push([result, devices]),
    onRehydrated: (result, devices) => reported.push([result, devices]),
    onEvicted: () => {
      evicted += 1;
    },
  });
  return { states, asked, reported, clock, gate, evicted: () => evicted };
}

const known: DeviceState = { lastTs: 500, lastFix: { ts: 400, latitude: 1, longitude: 2 } };

/** The state of device 1 after rows, which were stored one after the other. */
async function stateAfter(
  before: DeviceState | undefined,
  rows: readonly Partial<Position>[],
): Promise<DeviceState | undefined> {
  const { states } = setUp(before === undefined ? [] : [[deviceId(1), before]]);
  await states.warm([position()]);
  for (const row of rows) states.apply([position(row)]);
  return states.get(deviceId(1));
}

describe('the state after a row', () => {
  test('a newer row with a fix takes over time and fix', async () => {
    expect(await stateAfter(known, [{ ts: 600 }])).toEqual({
      lastTs: 600,
      lastFix: { ts: 600, latitude: 54.7, longitude: 25.3 },
    });
  });

  test('a row without a fix never becomes the last fix', async () => {
    expect(await stateAfter(known, [{ ts: 600, fix: false }])).toEqual({ ...known, lastTs: 600 });
    expect(await stateAfter(undefined, [{ ts: 600, fix: false }])).toEqual({
      lastTs: 600,
      lastFix: null,
    });
  });

  test('an older row changes nothing', async () => {
    expect(await stateAfter(known, [{ ts: 300 }])).toEqual(known);
  });

  test('a late row still brings the newest fix when it is newer than the known one', async () => {
    expect(await stateAfter(known, [{ ts: 450 }])).toEqual({
      lastTs: 500,
      lastFix: { ts: 450, latitude: 54.7, longitude: 25.3 },
    });
  });

  test('is the same for every order of the rows', async () => {
    const rows = fc.uniqueArray(fc.record({ ts: fc.nat(1000), fix: fc.boolean() }), {
      selector: ({ ts }) => ts,
      minLength: 1,
    });
    await fc.assert(
      fc.asyncProperty(rows, async (all) => {
        const inOrder = all.toSorted((a, b) => a.ts - b.ts);
        const newestFix = inOrder.findLast(({ fix }) => fix);
        const state = await stateAfter(undefined, all);
        expect(state).toEqual(await stateAfter(undefined, inOrder));
        expect(state?.lastTs).toBe(inOrder.at(-1)?.ts);
        expect(state?.lastFix?.ts).toBe(newestFix?.ts);
      }),
    );
  });
});

describe('stored rows', () => {
  test('that are older than the newest known are counted as late', () => {
    const { states } = setUp();

    expect(states.apply([position({ ts: 5 }), position({ ts: 3 }), position({ ts: 5 })])).toBe(1);
    expect(states.apply([position({ ts: 4 }), position({ ts: 6 })])).toBe(1);
    expect(states.get(deviceId(1))?.lastTs).toBe(6);
  });

  test('of one device never touch another', () => {
    const { states } = setUp();
    states.apply([position({ ts: 5 }), position({ ts: 3, deviceId: deviceId(2) })]);

    expect(states.get(deviceId(1))?.lastTs).toBe(5);
    expect(states.get(deviceId(2))?.lastTs).toBe(3);
  });
});

describe('warming', () => {
  test('looks up all unknown devices of a batch in one query, each once, within the horizon', async () => {
    const { states, asked, reported, clock } = setUp([[deviceId(1), known]]);
    const rows = [1, 2, 1, 2, 1].map((number) => position({ deviceId: deviceId(number) }));

    await states.warm(rows);

    expect(asked).toEqual([
      {
        devices: [deviceId(1), deviceId(2)],
        fromMs: clock.ms - horizonMs,
        toMs: clock.ms + 2 * 86_400_000,
      },
    ]);
    expect(states.get(deviceId(1))).toEqual(known);
    expect(reported).toEqual([
      ['hit', 0],
      ['miss', 2],
      ['found', 1],
      ['absent', 1],
    ]);
  });

  test('does not look up a device that is known', async () => {
    const { states, asked } = setUp();
    states.apply([position()]);

    await states.warm([position()]);

    expect(asked).toEqual([]);
  });

  test('of concurrent batches runs one query, and the others wait for its result', async () => {
    const { states, asked, gate } = setUp([[deviceId(1), known]]);
    const opened = Promise.withResolvers<void>();
    gate.wait = opened.promise;
    const warming = [1, 2, 3].map(() => states.warm([position()]));
    const ended = Promise.all(warming).then(() => states.get(deviceId(1)));

    opened.resolve();

    expect(await ended).toEqual(known);
    expect(asked).toHaveLength(1);
  });

  test('looks up a device without rows again only after the negative TTL', async () => {
    const { states, asked, clock } = setUp();
    await states.warm([position()]);
    clock.ms += 59_000;
    await states.warm([position()]);
    expect(asked).toHaveLength(1);

    clock.ms += 2000;
    await states.warm([position()]);
    expect(asked).toHaveLength(2);
  });

  test('looks up a device without rows each time when the negative TTL is 0', async () => {
    const { states, asked } = setUp([], { negativeTtlMs: 0 });
    await states.warm([position()]);
    await states.warm([position()]);

    expect(asked).toHaveLength(2);
  });

  test('looks up a device again that was absent, then stored, then evicted', async () => {
    const { states, asked } = setUp([], { capacity: 1 });
    await states.warm([position()]);
    states.apply([position(), position({ deviceId: deviceId(2) })]);
    expect(states.get(deviceId(1))).toBeUndefined();

    await states.warm([position()]);

    expect(asked.map(({ devices }) => devices)).toEqual([[deviceId(1)], [deviceId(1)]]);
  });

  test('that fails throws, is not cached, and is repeated', async () => {
    const { states, asked, gate, reported } = setUp([[deviceId(1), known]]);
    gate.failure = new DependencyError('database', 'unavailable', 'X', 'down');
    await expect(states.warm([position()])).rejects.toBe(gate.failure);
    expect(reported).toContainEqual(['failed', 1]);

    gate.failure = null;
    await states.warm([position()]);

    expect(asked).toHaveLength(2);
    expect(states.get(deviceId(1))).toEqual(known);
  });

  test('never overwrites a state that was stored during the query', async () => {
    const { states, gate } = setUp([[deviceId(1), known]]);
    const opened = Promise.withResolvers<void>();
    gate.wait = opened.promise;
    const warming = states.warm([position()]);
    states.apply([position({ ts: 900 })]);
    opened.resolve();
    await warming;

    expect(states.get(deviceId(1))?.lastTs).toBe(900);
  });
});

test('the cache holds no more devices than its capacity and evicts the longest unused first', () => {
  const { states, evicted } = setUp([], { capacity: 3 });
  for (const number of [1, 2, 3, 1, 4]) {
    states.apply([position({ deviceId: deviceId(number), ts: number })]);
  }

  expect(states.size).toBe(3);
  expect(evicted()).toBe(1);
  expect(states.get(deviceId(2))).toBeUndefined();
  expect(states.get(deviceId(1))).toBeDefined();
});

test('a device that was forgotten is looked up again', async () => {
  const { states, asked } = setUp([[deviceId(1), known]]);
  await states.warm([position()]);
  states.forget(deviceId(1));
  expect(states.get(deviceId(1))).toBeUndefined();

  await states.warm([position()]);

  expect(asked).toHaveLength(2);
});
