import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Outcomes, Position } from '../../src/core/types.ts';
import { testLimitMs } from '../faults/mode.ts';
import { hasTimescaledb } from '../setup/database.ts';
import { deviceId, position, someTime } from './positions.ts';
import { countRows, mechanism, mechanisms, refusingDatabase, rowsFrom } from './refusing.ts';

const offered = mechanisms.filter(({ plainOnly }) => !(plainOnly && hasTimescaledb()));

describe.each(offered)('a row that $name refuses', ({ sql, refused, reason, names }) => {
  test('among others is rejected with its reason, and the others are stored', async () => {
    const { client, write } = await refusingDatabase(sql);

    const { outcomes } = await write(
      rowsFrom(someTime, 40, (index) => (index === 17 ? refused : {})),
    );

    expect(outcomes[17]).toEqual({ reason, message: expect.stringMatching(names) });
    expect(outcomes.filter((outcome) => outcome === 'inserted')).toHaveLength(39);
    expect(await countRows(client)).toBe(39);
  });

  test('that comes alone is rejected, because another row could be stored', async () => {
    const { client, write, anotherWriter } = await refusingDatabase(sql);
    await write([position({ deviceId: deviceId(2), ts: Date.now() - 60_000 })]);
    const outcomes: Outcomes = [null];

    // An instance that has stored nothing itself yet.
    await anotherWriter().write([position(refused)], outcomes);

    expect(outcomes).toEqual([{ reason, message: expect.stringMatching(names) }]);
    expect(await countRows(client)).toBe(1);
  });
});

test('a whole batch of refused rows of one device is rejected, in bounded statements', async () => {
  const { sql, refused, reason } = mechanism('a trigger that raises');
  const { client, write } = await refusingDatabase(sql);
  await write([position({ deviceId: deviceId(2), ts: Date.now() - 60_000 })]);
  const many = 300;

  const { outcomes, statements } = await write(rowsFrom(someTime, many, () => refused));

  for (const outcome of outcomes) expect(outcome).toMatchObject({ reason });
  expect(await countRows(client)).toBe(1);
  expect(statements).toBeLessThanOrEqual(2.5 * many);
});

test('the first row ever is rejected where a plain row could be stored', async () => {
  const { sql, refused, reason } = mechanism('a trigger that raises');
  const { client, write } = await refusingDatabase(sql);

  expect((await write([position(refused)])).outcomes).toMatchObject([{ reason }]);
  expect(await countRows(client)).toBe(0);
});

test('a refused row that is stored already is a duplicate: the cause came later', async () => {
  const { sql, refused, reason } = mechanism('a trigger that raises');
  const { client, write } = await refusingDatabase();
  const stored = position({ ...refused, ts: someTime });
  await write([stored]);
  await client.query(sql);

  const { outcomes } = await write([
    stored,
    position({ ...refused, ts: someTime, speed: 3 }),
    position({ ts: someTime + 1000 }),
  ]);

  // Another version of the row was refused, and its dead letter says so.
  expect(outcomes).toEqual(['duplicate', expect.objectContaining({ reason }), 'inserted']);
});

test('the message holds names of the database and no value of the row', async () => {
  const { sql, refused } = mechanism('a trigger that raises');
  const { write } = await refusingDatabase(sql);

  const { outcomes } = await write([position(refused), position({ ts: someTime + 1 })]);

  expect(JSON.stringify(outcomes)).not.toContain(deviceId(1));
});

const five = [
  'a CHECK of another application',
  'a row-level security policy',
  'a trigger that skips rows',
  'a trigger that raises 0A000',
  'a generated column that divides by zero',
].map(mechanism);

test(
  'five mechanisms refuse rows of one batch of 5,000: the others are stored, each refused row has its reason',
  async () => {
    const { client, write } = await refusingDatabase(five.map(({ sql }) => sql).join(';\n'));
    const many = 5000;
    const bad = new Map(five.map((one, index) => [index * 1000 + 123, one]));

    const { outcomes, statements } = await write(
      rowsFrom(someTime, many, (index) => bad.get(index)?.refused ?? {}),
    );

    outcomes.forEach((outcome, index) => {
      const expected = bad.get(index);
      if (expected === undefined) expect(outcome).toBe('inserted');
      else {
        const { reason, names } = expected;
        expect(outcome).toEqual({ reason, message: expect.stringMatching(names) });
      }
    });
    expect(await countRows(client)).toBe(many - five.length);
    // Four rows searched by bisection, at most 2 × 13 inserts each; the rest is evidence.
    expect(statements).toBeLessThanOrEqual(120);
  },
  testLimitMs,
);

test(
  'any mix: good rows are stored, each bad row is rejected with its own reason, duplicates are recognised',
  async () => {
    const mixable = offered.filter(({ name }) => name !== 'an index whose entries are too long');
    const { client, write } = await refusingDatabase(mixable.map(({ sql }) => sql).join(';\n'));
    let base = someTime;
    const kinds = fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.constant<number | 'good' | 'repeat'>('good') },
        { weight: 2, arbitrary: fc.constant<number | 'good' | 'repeat'>('repeat') },
        { weight: 3, arbitrary: fc.nat({ max: mixable.length - 1 }) },
      ),
      { minLength: 1, maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(kinds, async (mix) => {
        base += 3_600_000;
        const before = await countRows(client);
        const rows: Position[] = mix.map((kind, index) =>
          position({
            ts: base + index * 1000,
            recordIndex: index,
            ...(typeof kind === 'number' ? mixable[kind]?.refused : {}),
          }),
        );
        const repeated = rows.filter((_, index) => mix[index] === 'repeat');
        if (repeated.length > 0) await write(repeated);

        const { outcomes, statements } = await write(rows);

        mix.forEach((kind, index) => {
          if (kind === 'good') expect(outcomes[index]).toBe('inserted');
          else if (kind === 'repeat') expect(outcomes[index]).toBe('duplicate');
          else expect(outcomes[index]).toMatchObject({ reason: mixable[kind]?.reason });
        });
        const bad = mix.filter((kind) => typeof kind === 'number').length;
        expect(await countRows(client)).toBe(before + mix.length - bad);
        expect(statements).toBeLessThanOrEqual(2 * mix.length + 40);
      }),
      { numRuns: 40 },
    );
  },
  testLimitMs,
);
