import fc from 'fast-check';
import { LRUCache } from 'lru-cache';
import { expect, test } from 'vitest';
import { DeviceTable } from '../../src/core/device-table.ts';
import type { DeviceId } from '../../src/core/types.ts';
import { deviceId } from './parts.ts';

const operation = fc.record({
  kind: fc.constantFrom('set', 'set', 'use', 'remove', 'find'),
  device: fc.nat(40),
  value: fc.nat(1000),
});

test('whatever is done with it, the table is a cache of the most recently used', () => {
  const capacities = fc.integer({ min: 1, max: 12 });
  fc.assert(
    fc.property(capacities, fc.array(operation, { maxLength: 200 }), (capacity, operations) => {
      let evicted = 0;
      let evictedByModel = 0;
      const table = new DeviceTable(capacity, 2, () => {
        evicted += 1;
      });
      const model = new LRUCache<DeviceId, number>({
        max: capacity,
        dispose: (_value, _device, reason) => {
          if (reason === 'evict') evictedByModel += 1;
        },
      });
      for (const { kind, device, value } of operations) {
        const id = deviceId(device * 7_777_777);
        const slot = table.find(id);
        expect(slot >= 0 ? table.get(slot, 1) : undefined).toBe(model.peek(id));
        if (kind === 'set') {
          const target = slot >= 0 ? slot : table.add(id);
          table.use(target);
          table.set(target, 0, -1);
          table.set(target, 1, value);
          model.set(id, value);
        } else if (kind === 'use' && slot >= 0) {
          table.use(slot);
          model.get(id);
        } else if (kind === 'remove' && slot >= 0) {
          table.remove(slot);
          model.delete(id);
        }
        expect(table.size).toBe(model.size);
      }
      expect(evicted).toBe(evictedByModel);
    }),
    { numRuns: 500 },
  );
});

test('it grows to its capacity and keeps every device until then', () => {
  const table = new DeviceTable(10_000, 1);
  for (let number = 0; number < 10_000; number += 1) {
    table.set(table.add(deviceId(number)), 0, number);
  }
  for (let number = 0; number < 10_000; number += 1) {
    const slot = table.find(deviceId(number));
    if (slot < 0 || table.get(slot, 0) !== number) throw new Error(`device ${number} is lost`);
  }
  table.add(deviceId(10_000));
  expect(table.size).toBe(10_000);
  expect(table.find(deviceId(0))).toBe(-1);
});
