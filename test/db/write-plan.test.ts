import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Position, RowOutcome } from '../../src/core/types.ts';
import { groupByKey } from '../../src/db/write-plan.ts';
import { deviceId, position } from '../core/parts.ts';

/** Sorts and groups row by row, as plainly as it can be said. */
function plainly(rows: readonly Position[], outcomes: readonly (RowOutcome | null)[]) {
  const keyOf = ({ deviceId: device, ts }: Position) => `${device} ${String(ts).padStart(15, '0')}`;
  const byKey = new Map<string, number[]>();
  rows.forEach((row, index) => {
    if (outcomes[index] !== null) return;
    byKey.set(keyOf(row), [...(byKey.get(keyOf(row)) ?? []), index]);
  });
  const sorted = [...byKey].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([, [first = -1, ...others]]) => ({ first, others }));
}

test('open rows are grouped by key, in the order of keys, whatever order they come in', () => {
  const row = fc.record({ device: fc.nat(6), ts: fc.nat(20), isOpen: fc.boolean() });
  fc.assert(
    fc.property(fc.array(row, { maxLength: 80 }), (drawn) => {
      const rows = drawn.map(({ device, ts }) =>
        position({ deviceId: deviceId(device * 31_337_000), ts }),
      );
      const outcomes = drawn.map(({ isOpen }) => (isOpen ? null : 'inserted'));
      expect(groupByKey(rows, outcomes)).toEqual(plainly(rows, outcomes));
    }),
    { numRuns: 2000 },
  );
});

test('a device that sends its newest record first is sorted', () => {
  const rows = Array.from({ length: 20_000 }, (_, index) => position({ ts: 20_000 - index }));
  const groups = groupByKey(
    rows,
    rows.map(() => null),
  );
  expect(groups.map(({ first }) => rows[first]?.ts)).toEqual(
    rows.map(({ ts }) => ts).toSorted((a, b) => a - b),
  );
});
