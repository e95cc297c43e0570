import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InFlight } from '../../src/core/in-flight.ts';
import { InFlightBudget } from '../../src/core/in-flight-budget.ts';
import { type Entry, type EntryId, packFields } from '../../src/core/types.ts';
import { entry, entryId, held, turn } from './parts.ts';

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

  const large = held(1, 255, 5000);
  inFlight.hold(large);

  expect(inFlight.isFull).toBe(true);
  inFlight.release(large);
  expect(inFlight.isFull).toBe(false);
});

test('an entry is found by its id while it is held', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });
  const all = [1, 2, 3, 4].map((number) => held(number));
  for (const one of all.slice(0, 2)) inFlight.hold(one);
  inFlight.releaseAll(all.slice(0, 1));
  const found = () => all.map(({ entry: { id } }) => inFlight.has(id));

  expect(found()).toEqual([false, true, false, false]);
  for (const one of all.slice(2)) inFlight.hold(one);
  inFlight.releaseAll(all.slice(1, 3));
  expect(found()).toEqual([false, false, false, true]);
  inFlight.forgetReleases();
  expect(found()).toEqual([false, false, false, true]);
  expect(inFlight.ids()).toEqual([entryId(4)]);
});

/** Entries as one read brings them, with these ids. */
const read = (source: Entry['source'], ...numbers: number[]): Entry[] =>
  numbers.map((number) => ({ ...entry(number), source }));
const numbersOf = (entries: readonly Entry[]) => entries.map(({ id }) => Number.parseInt(id, 10));

test('an entry in flight is skipped however it is delivered again', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });
  expect(numbersOf(inFlight.withoutHeld(read('new', 8, 9, 10)))).toEqual([8, 9, 10]);
  for (const number of [8, 9, 10]) inFlight.hold(held(number));

  expect(numbersOf(inFlight.withoutHeld(read('own_pending', 7, 8, 10)))).toEqual([7]);
  expect(numbersOf(inFlight.withoutHeld(read('claimed', 9, 11)))).toEqual([11]);
  // The group was moved back, or the stream was deleted and begins again with lower ids.
  expect(numbersOf(inFlight.withoutHeld(read('new', 9, 10, 11, 12)))).toEqual([11, 12]);
  expect(numbersOf(inFlight.withoutHeld(read('new', 1, 2)))).toEqual([1, 2]);
  expect(numbersOf(inFlight.withoutHeld(read('new', 13)))).toEqual([13]);
  expect(inFlight.withoutHeld([])).toEqual([]);
});

test('an entry released during the read is skipped as pending and accepted as new', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });
  const one = held(5);
  inFlight.withoutHeld(read('new', 5));
  inFlight.hold(one);
  inFlight.rememberReleases();
  inFlight.release(one);

  expect(numbersOf(inFlight.withoutHeld(read('own_pending', 5, 6)))).toEqual([6]);
  expect(numbersOf(inFlight.withoutHeld(read('new', 5)))).toEqual([5]);
  inFlight.forgetReleases();
  expect(numbersOf(inFlight.withoutHeld(read('own_pending', 5)))).toEqual([5]);
});

test('an entry with other content under the id of one in flight replaces it', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });
  const [first, second] = ['a', 'b'].map((value) => ({
    ...held(5),
    entry: { ...entry(5), fields: packFields([Buffer.from('name'), Buffer.from(value)]) },
  }));
  if (first === undefined || second === undefined) throw new RangeError('two are needed');
  inFlight.withoutHeld([first.entry]);
  inFlight.hold(first);

  expect(inFlight.withoutHeld([{ ...first.entry, source: 'own_pending' }])).toEqual([]);
  expect(first.isReplaced).toBe(false);
  const again = { ...second.entry, source: 'own_pending' } as const;
  expect(inFlight.withoutHeld([again])).toEqual([again]);
  expect(first.isReplaced).toBe(true);

  inFlight.hold(second);
  inFlight.rememberReleases();
  inFlight.release(first);
  expect(inFlight.has(second.entry.id)).toBe(true);
  expect(inFlight.wasReleased(second.entry)).toBe(false);
  inFlight.release(second);
  expect(inFlight.wasReleased(second.entry)).toBe(true);
  expect(inFlight.entries).toBe(0);
});

test('an entry with other content than the one released under its id is accepted as pending', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });
  const lost = held(5);
  const fields = packFields([Buffer.from('name'), Buffer.from('other')]);
  inFlight.withoutHeld([lost.entry]);
  inFlight.hold(lost);
  inFlight.rememberReleases();
  inFlight.release(lost);

  const again = { ...entry(5), source: 'own_pending', fields } as const;
  expect(inFlight.withoutHeld([again])).toEqual([again]);
});

test('ids are ordered as numbers of any length', () => {
  const inFlight = inFlightOf({ records: 10, bytes: 1000 });
  const ids = ['9-9', '9-10', '10-0', '1795650000000-5', '18446744073709551615-0'] as EntryId[];
  for (const id of ids) {
    const [delivered] = read('new', 1).map((one) => ({ ...one, id }));
    if (delivered === undefined) throw new Error('no entry');
    expect(inFlight.withoutHeld([delivered])).toEqual([delivered]);
    inFlight.hold({ ...held(1), entry: delivered });
    expect(inFlight.withoutHeld([delivered])).toEqual([]);
  }
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
      const all = Array.from({ length: 10 }, (_, id) => held(id, id + 1, id * 10));
      for (const { id, hold } of operations) {
        const one = all[id] ?? held(id);
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
