import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createAccount } from '../../src/core/account.ts';
import { Batcher } from '../../src/core/batcher.ts';
import { DeviceStates } from '../../src/core/device-state.ts';
import { InFlight } from '../../src/core/in-flight.ts';
import { Pipeline } from '../../src/core/pipeline.ts';
import {
  DependencyError,
  type DeviceId,
  type Entry,
  type EntryId,
  type HeldEntry,
  type Interpretation,
  type Position,
  type RowOutcome,
} from '../../src/core/types.ts';

type Planned = RowOutcome | 'rejected';
type Plan = { kind: 'records'; records: Planned[] } | { kind: 'message' } | { kind: 'rejected' };

const rowOutcome: fc.Arbitrary<Planned> = fc.constantFrom<Planned[]>(
  'inserted',
  'duplicate',
  'conflict',
  { reason: 'row_value_invalid', message: 'no' },
  'rejected',
);
const plan: fc.Arbitrary<Plan> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('records' as const),
      records: fc.array(rowOutcome, { maxLength: 8 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'message' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'rejected' as const }) },
);

const rejection = { stage: 'decode', reason: 'truncated', message: '', offset: null } as const;

/** A pipeline over planned entries whose writes and acknowledgements fail now and then. */
function build(
  plans: readonly Plan[],
  failures: { next(): boolean },
  limits: { records: number; batch: number },
) {
  const account = createAccount(() => undefined);
  const inFlight = new InFlight({ records: limits.records, bytes: 1e9 });
  const outcomeOf = new Map<number, RowOutcome>();
  const acknowledged: HeldEntry[] = [];
  const attempts = { write: 0, failed: 0 };
  let largest = 0;
  let serial = 0;
  let at = 0;

  const position = (outcome: RowOutcome, recordIndex: number): Position => {
    serial += 1;
    outcomeOf.set(serial, outcome);
    return {
      ...{ deviceId: '350000000000001' as DeviceId, ts: serial, latitude: 1, longitude: 2 },
      ...{ altitude: 0, angle: 0, speed: 0, satellites: 5, priority: 0, fix: true },
      ...{ eventIoId: 0, generationType: null, codec: '8' as const, attributes: '{}', recordIndex },
    };
  };
  const failSometimes = () => {
    if (!failures.next()) return;
    attempts.failed += 1;
    throw new DependencyError('database', 'unavailable', 'TEST', 'down for now');
  };

  const pipeline = new Pipeline({
    account,
    inFlight,
    batcher: new Batcher({ rows: limits.batch, bytes: 1e9 }),
    states: new DeviceStates({
      ...{ capacity: 10, rehydrateHorizonMs: 1, negativeTtlMs: 1, now: Date.now },
      rehydrate: () => Promise.resolve(new Map()),
      ...{ onLookup: () => {}, onRehydrated: () => {}, onEvicted: () => {} },
    }),
    async read(limit) {
      await new Promise((resolve) => setImmediate(resolve));
      const entries: Entry[] = plans.slice(at, at + limit).map((_, index) => ({
        ...{ id: `${at + index + 1}-0` as EntryId, source: 'new' as const, fields: [], bytes: 10 },
      }));
      at += entries.length;
      return entries;
    },
    interpret(entry): Interpretation {
      const planned = plans[Number(entry.id.split('-')[0]) - 1];
      if (planned?.kind === 'message') return { kind: 'message', codec: '12' };
      if (planned?.kind !== 'records') {
        return { kind: 'rejected', rejection: { ...rejection, recordIndex: null } };
      }
      const positions: Position[] = [];
      const rejections = planned.records.flatMap((outcome, recordIndex) => {
        if (outcome === 'rejected') return [{ ...rejection, recordIndex }];
        positions.push(position(outcome, recordIndex));
        return [];
      });
      return { kind: 'records', positions, rejections };
    },
    async write(rows, outcomes) {
      attempts.write += 1;
      largest = Math.max(largest, rows.length);
      await new Promise((resolve) => setImmediate(resolve));
      rows.forEach((row, place) => {
        outcomes[place] ??= outcomeOf.get(row.ts) ?? null;
        if (place === rows.length >> 1) failSometimes();
      });
      return 1;
    },
    async acknowledge(entries) {
      await new Promise((resolve) => setImmediate(resolve));
      failSometimes();
      acknowledged.push(...entries);
    },
    events: {
      ...{ read: () => {}, interpreted: () => {}, rejected: () => {}, batch: () => {} },
      ...{
        late: () => {},
        acknowledged: () => {},
        failed: () => {},
        recovered: () => {},
        paused: () => {},
      },
    },
    options: { writers: 2, readCount: 7, retryMinMs: 0, retryMaxMs: 1 },
  });
  const all = async () => {
    while (at < plans.length || inFlight.entries > 0)
      await new Promise((resolve) => setImmediate(resolve));
  };
  return { pipeline, account, inFlight, acknowledged, attempts, all, largest: () => largest };
}

function expectedTotals(plans: readonly Plan[]) {
  const settled = { inserted: 0, duplicate: 0, conflict: 0, dead_letter: 0, message: 0, lost: 0 };
  for (const planned of plans) {
    if (planned.kind === 'message') settled.message += 1;
    else if (planned.kind === 'rejected') settled.dead_letter += 1;
    else {
      for (const outcome of planned.records) {
        settled[typeof outcome === 'object' || outcome === 'rejected' ? 'dead_letter' : outcome] +=
          1;
      }
    }
  }
  const read = Object.values(settled).reduce((sum, count) => sum + count, 0);
  return { read, settled };
}

describe('the pipeline', () => {
  it('gives every record exactly one outcome and acknowledges every entry once, whatever fails on the way', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan, { maxLength: 60 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 3 }).map((roll) => roll === 0)),
        fc.record({
          records: fc.integer({ min: 1, max: 40 }),
          batch: fc.integer({ min: 1, max: 20 }),
        }),
        async (plans, rolls, limits) => {
          const failures = { next: () => rolls.next().value === true };
          const run = build(plans, failures, limits);
          run.pipeline.start();
          await run.all();
          expect(await run.pipeline.drain(5000)).toBe(true);
          expect(run.account.totals()).toEqual(expectedTotals(plans));
          expect(run.account.residual(run.inFlight.countOpen())).toBe(0);
          const ids = run.acknowledged.map(({ entry }) => entry.id);
          expect(new Set(ids).size).toBe(plans.length);
          expect(ids.length).toBe(plans.length);
          expect(run.largest()).toBeLessThanOrEqual(limits.batch);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('tries a failing write again until it works: each failure is one more call', async () => {
    let left = 5;
    const failures = {
      next: () => {
        left -= 1;
        return left >= 0;
      },
    };
    const run = build([{ kind: 'records', records: ['inserted'] }], failures, {
      records: 10,
      batch: 10,
    });
    run.pipeline.start();
    await run.all();
    await run.pipeline.drain(1000);
    expect(run.attempts).toEqual({ write: 6, failed: 5 });
  });

  it('gives up at the end of the drain budget and leaves the rest unacknowledged', async () => {
    const run = build(
      [{ kind: 'records', records: ['inserted'] }],
      { next: () => true },
      { records: 10, batch: 10 },
    );
    run.pipeline.start();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await run.pipeline.drain(50)).toBe(false);
    expect(run.inFlight.ids()).toEqual(['1-0']);
    expect(run.acknowledged).toEqual([]);
  });

  it('stops without a start, and twice', async () => {
    const run = build([], { next: () => false }, { records: 10, batch: 10 });
    expect(await run.pipeline.drain(100)).toBe(true);
    expect(await run.pipeline.drain(100)).toBe(true);
  });
});
