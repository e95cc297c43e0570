import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InFlight } from '../../src/core/in-flight.ts';
import { InFlightBudget } from '../../src/core/in-flight-budget.ts';
import { entryId, held, turn } from './parts.ts';

function inFlightOf(limits: { readonly records: number; readonly bytes: number }): InFlight {
  return new InFlight(new InFlightBudget(limits, 1));
}

test('reading stops at the limit of records and resumes at half of it', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1_000_000 });
  const entries = Array.from({ length: 5 }, (_, index) => held(index, 2));
  const states: boolean[] = [];
  for (const one of entries) {
    inFlight.hold(one);
    states.push(inFlight.isFull);
  }
  for (const one of entries) {
    inFlight.release(one);
    states.push(inFlight.isFull);
  }

  const filling = [false, false, false, false, true]; // 2, 4, 6, 8, 10 records
  const emptying = [true, true, false, false, false]; // 8, 6, 4, 2, 0 records
  expect(states).toEqual([...filling, ...emptying]);
});

test('reading stops at the limit of bytes and resumes at half of it', () => {
  const inFlight = inFlightOf({ records: 1000, bytes: 1000 });
  const entries = Array.from({ length: 4 }, (_, index) => held(index, 1, 250));
  for (const one of entries) inFlight.hold(one);
  expect(inFlight.isFull).toBe(true);

  const states = entries.map((one) => {
    inFlight.release(one);
    return inFlight.isFull;
  });

  expect(states).toEqual([true, false, false, false]);
});

test('an entry larger than the budget is held and stops reading', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });

  inFlight.hold(held(1, 255, 5000));

  expect(inFlight.isFull).toBe(true);
  inFlight.release(held(1, 255, 5000));
  expect(inFlight.isFull).toBe(false);
});

test('an entry is found by its id while it is held', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });
  inFlight.hold(held(1));
  inFlight.hold(held(2));
  inFlight.release(held(1));

  expect([inFlight.has(entryId(1)), inFlight.has(entryId(2))]).toEqual([false, true]);
  expect(inFlight.ids()).toEqual([entryId(2)]);
});

test('a waiting caller resumes on each release and on wake()', async () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });
  const one = held(1);
  inFlight.hold(one);
  let woken = 0;
  const wait = () => inFlight.changed().then(() => (woken += 1));
  wait();
  wait();
  await turn();
  expect(woken).toBe(0);

  inFlight.release(one);
  await turn();
  expect(woken).toBe(2);

  wait();
  inFlight.wake();
  await turn();
  expect(woken).toBe(3);
});

test('records, bytes and entries equal those held after any sequence of hold and release, also twice', () => {
  const operation = fc.record({ id: fc.nat(9), hold: fc.boolean() });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const inFlight = inFlightOf({ records: 20, bytes: 2000 });
      const model = new Set<number>();
      for (const { id, hold } of operations) {
        const one = held(id, id + 1, id * 10);
        if (hold && !model.has(id)) inFlight.hold(one);
        if (!hold) inFlight.release(one);
        if (hold) model.add(id);
        else model.delete(id);
      }
      const sum = (of: (id: number) => number) => [...model].reduce((all, id) => all + of(id), 0);
      expect(inFlight.entries).toBe(model.size);
      expect(inFlight.records).toBe(sum((id) => id + 1));
      expect(inFlight.countOpen()).toBe(sum((id) => id + 1));
      expect(inFlight.bytes).toBe(sum((id) => id * 10));
    }),
  );
});
