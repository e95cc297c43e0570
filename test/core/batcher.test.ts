import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batcher } from '../../src/core/batcher.ts';
import type { Batch } from '../../src/core/types.ts';
import { held, position, turn } from './parts.ts';

const roomy = { rows: 100, bytes: 1_000_000 };

function fill(batcher: Batcher, rows: number, attributes = '{}'): void {
  for (let index = 0; index < rows; index += 1) {
    batcher.add(position({ recordIndex: index, attributes }), held(index));
  }
}

test('a free writer takes all rows at once', async () => {
  const batcher = new Batcher(roomy);
  fill(batcher, 7);

  const batch = await batcher.take();

  expect(batch).toMatchObject({ closedBy: 'idle' });
  expect(batch?.rows.map((row) => row.recordIndex)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(batch?.owners.map((owner) => owner.entry.id)).toEqual(
    Array.from({ length: 7 }, (_, index) => `${index}-0`),
  );
  expect(batcher.size).toBe(0);
});

test('the limit of rows closes a batch, and the next batch has the rest', async () => {
  const batcher = new Batcher({ rows: 5, bytes: 1_000_000 });
  fill(batcher, 12);

  const batches = [await batcher.take(), await batcher.take(), await batcher.take()];

  expect(batches.map((batch) => [batch?.rows.length, batch?.closedBy])).toEqual([
    [5, 'rows'],
    [5, 'rows'],
    [2, 'idle'],
  ]);
});

test('the limit of bytes closes a batch, and the next batch has the rest', async () => {
  const batcher = new Batcher({ rows: 100, bytes: 1000 });
  fill(batcher, 5, 'x'.repeat(280));

  const batches = [await batcher.take(), await batcher.take(), await batcher.take()];

  expect(batches.map((batch) => [batch?.rows.length, batch?.closedBy])).toEqual([
    [2, 'bytes'],
    [2, 'bytes'],
    [1, 'idle'],
  ]);
});

test('a row larger than the limit of bytes is a batch of its own', async () => {
  const batcher = new Batcher({ rows: 100, bytes: 1000 });
  fill(batcher, 2, 'x'.repeat(5000));

  expect((await batcher.take())?.rows).toHaveLength(1);
  expect((await batcher.take())?.rows).toHaveLength(1);
});

test('a writer waits while there are no rows, and an offer wakes it', async () => {
  const batcher = new Batcher(roomy);
  let batch: Batch | null = null;
  const taking = batcher.take().then((taken) => {
    batch = taken;
  });
  await turn();
  expect(batch).toBe(null);

  fill(batcher, 3);
  batcher.offer();
  await taking;

  expect(batch).toMatchObject({ rows: { length: 3 } });
});

test('rows beyond the limit of one batch wake the next waiting writer', async () => {
  const batcher = new Batcher({ rows: 5, bytes: 1_000_000 });
  const taking = Promise.all([batcher.take(), batcher.take(), batcher.take()]);
  fill(batcher, 11);
  batcher.offer();

  const batches = await taking;

  expect(batches.map((batch) => batch?.rows.length).sort()).toEqual([1, 5, 5]);
});

test('after the close a writer takes the rows that are left, then null', async () => {
  const batcher = new Batcher(roomy);
  fill(batcher, 2);
  batcher.close();

  expect(await batcher.take()).toMatchObject({ closedBy: 'drain', rows: { length: 2 } });
  expect(await batcher.take()).toBe(null);
});

test('the close wakes every waiting writer', async () => {
  const batcher = new Batcher(roomy);
  const taking = Promise.all([batcher.take(), batcher.take()]);
  batcher.close();

  expect(await taking).toEqual([null, null]);
});

test('every row is in one batch, in order and with its owner, within the limits', async () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 80 });
  const caps = fc.record({
    rows: fc.integer({ min: 1, max: 20 }),
    bytes: fc.integer({ min: 1, max: 2000 }),
  });
  await fc.assert(
    fc.asyncProperty(sizes, caps, async (lengths, limits) => {
      const batcher = new Batcher(limits);
      lengths.forEach((length, index) => {
        batcher.add(position({ ts: index, attributes: 'x'.repeat(length) }), held(index));
      });
      batcher.close();
      const taken: number[] = [];
      for (let batch = await batcher.take(); batch !== null; batch = await batcher.take()) {
        expect(batch.rows.length).toBeLessThanOrEqual(limits.rows);
        expect(batch.owners.map(({ entry }) => entry.id)).toEqual(
          batch.rows.map(({ ts }) => `${ts}-0`),
        );
        taken.push(...batch.rows.map(({ ts }) => ts));
      }
      expect(taken).toEqual(lengths.map((_, index) => index));
    }),
  );
});
