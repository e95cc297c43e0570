import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeviceTable } from '../../src/core/device-table.ts';
import type { DeviceId } from '../../src/core/types.ts';
import { deviceId } from './parts.ts';

const operation = fc.record({
  kind: fc.constantFrom('set', 'set', 'use', 'remove', 'find'),
  device: fc.nat(40),
  value: fc.nat(1000),
});

/** The values of the devices used last: a Map, with the longest unused one first. */
function createModel(capacity: number) {
  const values = new Map<DeviceId, number>();
  let evicted = 0;
  return {
    values,
    evicted: () => evicted,
    set(id: DeviceId, value: number) {
      const [oldest] = values.keys();
      if (!values.delete(id) && values.size === capacity && oldest !== undefined) {
        values.delete(oldest);
        evicted += 1;
      }
      values.set(id, value);
    },
  };
}

test('whatever is done with it, the table keeps the numbers of the devices used last', () => {
  const capacities = fc.integer({ min: 1, max: 12 });
  fc.assert(
    fc.property(capacities, fc.array(operation, { maxLength: 200 }), (capacity, operations) => {
      let evicted = 0;
      const table = new DeviceTable(capacity, 2, () => {
        evicted += 1;
      });
      const model = createModel(capacity);
      for (const { kind, device, value } of operations) {
        const id = deviceId(device * 7_777_777);
        const slot = table.find(id);
        const known = model.values.get(id);
        expect(slot >= 0 ? table.get(slot, 1) : undefined).toBe(known);
        if (kind === 'set') {
          const target = slot >= 0 ? table.use(id) : table.add(id);
          table.set(target, 0, -1);
          table.set(target, 1, value);
          model.set(id, value);
        } else if (kind === 'use') {
          expect(table.use(id)).toBe(slot);
          if (known !== undefined) model.set(id, known);
        } else if (kind === 'remove') {
          table.remove(id);
          model.values.delete(id);
        }
        expect(table.size).toBe(model.values.size);
      }
      expect(evicted).toBe(model.evicted());
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
