import { expect, test } from 'vitest';
import { DeviceStates } from '../../src/core/device-state.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { createRehydrate } from '../../src/db/rehydration.ts';
import { dayMs, deviceId, migratedDatabase, position, someTime } from './positions.ts';

const devices = 10_000;

test('10,000 cold devices that arrive together, four times at once, take one query', async () => {
  const { database } = await migratedDatabase();
  const writer = createPositionWriter(database, {
    chunkIntervalMs: dayMs,
    maxChunksPerStatement: 48,
  });
  // Every second one has a stored position.
  const stored = Array.from({ length: devices / 2 }, (_, index) =>
    position({ deviceId: deviceId(index * 2), ts: someTime }),
  );
  await writer.write(
    stored,
    stored.map(() => null),
  );
  const rehydrate = createRehydrate(database);
  let queries = 0;
  const found = { found: 0, absent: 0, failed: 0 };
  const states = new DeviceStates({
    capacity: 100_000,
    rehydrateHorizonMs: 30 * dayMs,
    negativeTtlMs: 60_000,
    now: () => someTime + dayMs,
    rehydrate: (cold, range) => {
      queries += 1;
      return rehydrate(cold, range);
    },
    onLookup() {},
    onRehydrated: (result, many) => {
      found[result] += many;
    },
    onEvicted() {},
  });
  const rows = Array.from({ length: devices }, (_, index) =>
    position({ deviceId: deviceId(index), ts: someTime + 1000 }),
  );

  await Promise.all(Array.from({ length: 4 }, () => states.warm(rows)));
  expect([queries, found]).toEqual([1, { found: devices / 2, absent: devices / 2, failed: 0 }]);

  // The known ones from memory, the others because "nothing stored" is believed for a while.
  await states.warm(rows);
  expect(queries).toBe(1);
});
