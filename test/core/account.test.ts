import { expect, test } from 'vitest';
import { createAccount } from '../../src/core/account.ts';

test('every record read is settled or in flight, and a missing one shows as a residual', () => {
  const account = createAccount(() => {});
  account.read(10);
  account.settle('inserted', 4);
  account.settle('duplicate', 1);
  account.settle('dead_letter', 2);

  expect(account.residual(3)).toBe(0);
  expect(account.residual(2)).toBe(1);
  account.settle('inserted', 1);
  expect(account.residual(3)).toBe(-1);
});

test('totals are a copy and do not change later', () => {
  const account = createAccount(() => {});
  account.read(1);
  const before = account.totals();
  account.settle('conflict', 1);

  expect(before.settled.conflict).toBe(0);
  expect(account.totals()).toMatchObject({ read: 1, settled: { conflict: 1, inserted: 0 } });
});

test('every settlement is reported, except one of no records', () => {
  const reported: unknown[] = [];
  const account = createAccount((outcome, records) => reported.push([outcome, records]));
  account.settle('inserted', 0);
  account.settle('message', 2);

  expect(reported).toEqual([['message', 2]]);
});
