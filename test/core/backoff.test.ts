import { expect, test } from 'vitest';
import { backoffMs } from '../../src/core/backoff.ts';

const limits = { minMs: 100, maxMs: 5000 };
const withoutJitter = () => 0.5;

test('the pause doubles from the minimum to the maximum', () => {
  const pauses = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => backoffMs(n, limits, withoutJitter));
  expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
});

test('the pause stays at the maximum however many attempts fail', () => {
  expect(backoffMs(1_000_000, limits, withoutJitter)).toBe(5000);
});

test('jitter spreads the pause from half to one and a half times its length', () => {
  expect(backoffMs(1, limits, () => 0)).toBe(50);
  expect(backoffMs(1, limits, () => 0.999_999)).toBeCloseTo(150, 2);
  expect(new Set(Array.from({ length: 20 }, () => backoffMs(1, limits))).size).toBeGreaterThan(1);
});
