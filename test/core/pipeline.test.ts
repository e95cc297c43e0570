import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createAccount } from '../../src/core/account.ts';
import { Batcher } from '../../src/core/batcher.ts';
import { InFlight } from '../../src/core/in-flight.ts';
import { InFlightBudget } from '../../src/core/in-flight-budget.ts';
import { Pipeline } from '../../src/core/pipeline.ts';
import { createPoisonIsolation } from '../../src/core/poison-isolation.ts';
import type { Reading, ReadingParts } from '../../src/core/reading.ts';
import {
  DependencyError,
  type Entry,
  type EntryId,
  type HeldEntry,
  type Interpretation,
  type Rejection,
  type RowOutcome,
} from '../../src/core/types.ts';
import type { WritingParts } from '../../src/core/writing.ts';
import {
  deviceId,
  entry,
  entryId,
  events,
  type GuardChange,
  guard,
  noStates,
  type PipelineEvents,
  position,
  turn,
} from './parts.ts';

/** What an entry holds, and what the database will say of its rows. */
interface Planned {
  readonly form: 'records' | 'message' | 'rejected';
  readonly rows: readonly RowOutcome[];
  readonly badRecords: number;
}

const refused: RowOutcome = { reason: 'row_constraint_violated', message: 'refused' };
const bad: Rejection = {
  stage: 'validate',
  reason: 'ts_out_of_range',
  message: 'too old',
  recordIndex: 0,
  offset: null,
};

function interpretationOf(plan: Planned, number: number): Interpretation {
  if (plan.form === 'message') return { kind: 'message', codec: '12' };
  if (plan.form === 'rejected') return { kind: 'rejected', rejection: bad };
  const positions = plan.rows.map((_, index) =>
    position({ deviceId: deviceId(number % 5), ts: number * 1000 + index, recordIndex: index }),
  );
  return { kind: 'records', positions, rejections: Array(plan.badRecords).fill(bad) };
}

const down = (dependency: 'redis' | 'database') =>
  new DependencyError(dependency, 'unavailable', 'DOWN', `${dependency} is down`);

interface Trouble {
  /** Calls, counted from 0, that fail. */
  readonly read: readonly number[];
  readonly write: readonly number[];
  readonly acknowledge: readonly number[];
  readonly move: readonly number[];
}

const noTrouble: Trouble = { read: [], write: [], acknowledge: [], move: [] };

/** The parts of both sides that a test replaces. */
type Change = Partial<Pick<ReadingParts, 'read' | 'interpret' | 'moveRound'>> &
  Partial<Pick<WritingParts, 'write'>> & { readonly events?: PipelineEvents };

/** A pipeline over plans instead of Redis and a database. */
function setUp(
  plans: readonly Planned[],
  trouble: Trouble,
  change: Change = {},
  guarding: GuardChange = {},
) {
  const guards = { redis: guard('redis', guarding), database: guard('database', guarding) };
  const deadLetterGuard = guard('redis');
  const crashCounts = new Map<EntryId, number>();
  const calls = { read: 0, write: 0, acknowledge: 0, move: 0 };
  const acknowledged: EntryId[] = [];
  let letters = 0;
  let next = 0;
  const fails = (what: keyof Trouble) => trouble[what].includes(calls[what]++);
  const allRead = Promise.withResolvers<void>();
  const account = createAccount(() => {});
  const inFlight = new InFlight(new InFlightBudget({ records: 12, bytes: 100_000 }, 1));
  const states = noStates();
  const reading: ReadingParts = {
    shard: null,
    inFlight,
    async read(limit) {
      await turn();
      if (fails('read')) throw down('redis');
      const entries = plans.slice(next, next + limit).map((_, index) => entry(next + index));
      next += entries.length;
      if (next >= plans.length) allRead.resolve();
      return entries;
    },
    interpret: (one) => {
      const number = numberOf(one);
      const plan = plans[number];
      if (plan === undefined) throw new RangeError(`no plan for entry ${number}`);
      return interpretationOf(plan, number);
    },
    async acknowledge(entries) {
      await turn();
      if (fails('acknowledge')) throw down('redis');
      acknowledged.push(...entries.map((one) => one.entry.id));
    },
    async moveRound(waiting) {
      await turn();
      const round = waiting.slice(0, 2);
      if (fails('move')) return { moved: [], failed: round, failure: down('redis') };
      for (const { entry: one, rejections } of round) {
        acknowledged.push(one.id);
        letters += rejections.length;
      }
      return { moved: round, failed: [], failure: null };
    },
    events: events(),
    guard: guards.redis,
    deadLetterGuard,
    isolation: createPoisonIsolation({
      maxDeliveries: 5,
      guard: guards.redis,
      increment(id) {
        crashCounts.set(id, (crashCounts.get(id) ?? 0) + 1);
        return Promise.resolve(crashCounts.get(id) ?? 0);
      },
      clear(id) {
        crashCounts.delete(id);
        return Promise.resolve();
      },
      events: change.events ?? events(),
    }),
    readCount: 3,
    ...change,
  };
  const pipeline = new Pipeline({
    account,
    states,
    batcher: new Batcher({ rows: 7, bytes: 100_000 }),
    databaseGuard: guards.database,
    async write(rows, outcomes) {
      await turn();
      const failing = fails('write');
      rows.forEach((row, place) => {
        // A write that fails half way has settled every other row.
        if (failing && place % 2 === 0) return;
        outcomes[place] ??= plans[Math.floor(row.ts / 1000)]?.rows[row.recordIndex] ?? null;
      });
      if (failing) throw down('database');
      return 1;
    },
    events: events(),
    writers: 2,
    ...change,
    readings: [reading],
  });
  return {
    pipeline,
    reading: readingOf(pipeline),
    account,
    inFlight,
    acknowledged,
    allRead: allRead.promise,
    letters: () => letters,
    crashCounts,
  };
}

function readingOf({ readings: [reading] }: Pipeline): Reading {
  if (reading === undefined) throw new RangeError('the pipeline reads nothing');
  return reading;
}

function numberOf({ id }: Entry): number {
  return Number(id.split('-', 1)[0]);
}

const outcome = fc.constantFrom<RowOutcome>(
  ...(['inserted', 'inserted', 'duplicate', 'conflict', refused] as const),
);
const planned: fc.Arbitrary<Planned> = fc.record({
  form: fc.constantFrom('records' as const, 'records', 'records', 'message', 'rejected'),
  rows: fc.array(outcome, { maxLength: 6 }),
  badRecords: fc.nat(2),
});
const someCalls = fc.uniqueArray(fc.nat(12), { maxLength: 5 });
const troubles = fc.record({
  read: someCalls,
  write: someCalls,
  acknowledge: someCalls,
  move: someCalls,
});

test('the event loop runs other work between entries that are slow to interpret', async () => {
  const plans = Array.from({ length: 3 }, (): Planned => {
    return { form: 'message', rows: [], badRecords: 0 };
  });
  let turns = 0;
  const turnsAtEntry: number[] = [];
  const countTurns = () => {
    turns += 1;
    if (turnsAtEntry.length < plans.length) setImmediate(countTurns);
  };
  const { pipeline, allRead } = setUp(plans, noTrouble, {
    interpret() {
      turnsAtEntry.push(turns);
      const until = performance.now() + 25;
      while (performance.now() < until);
      return { kind: 'message', codec: '12' };
    },
  });
  setImmediate(countTurns);
  pipeline.start();
  await allRead;
  expect(await pipeline.drain(20_000)).toBe(true);

  const [first = 0, second = 0, third = 0] = turnsAtEntry;
  expect(second).toBeGreaterThan(first);
  expect(third).toBeGreaterThan(second);
});

test('every record gets exactly one outcome, whatever is read and whatever fails', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(planned, { maxLength: 40 }), troubles, async (plans, trouble) => {
      const { pipeline, reading, account, inFlight, acknowledged, allRead, letters } = setUp(
        plans,
        trouble,
      );
      pipeline.start();
      await allRead;

      expect(await pipeline.drain(20_000)).toBe(true);

      const rows = plans.flatMap(({ form, rows: planRows }) =>
        form === 'records' ? planRows : [],
      );
      const badRecords = plans.reduce(
        (sum, { form, badRecords: many }) => sum + (form === 'records' ? many : 0),
        0,
      );
      const whole = plans.filter(({ form }) => form === 'rejected').length;
      const messages = plans.filter(({ form }) => form === 'message').length;
      const refusals = rows.filter((one) => typeof one === 'object').length;
      const conflicts = rows.filter((one) => one === 'conflict').length;
      expect(account.totals()).toEqual({
        read: rows.length + badRecords + whole + messages,
        settled: {
          inserted: rows.filter((one) => one === 'inserted').length,
          duplicate: rows.filter((one) => one === 'duplicate').length,
          conflict: conflicts,
          dead_letter: refusals + badRecords + whole,
          message: messages,
          lost: 0,
        },
      });
      expect(letters()).toBe(conflicts + refusals + badRecords + whole);
      expect(account.residual(inFlight.countOpen())).toBe(0);
      expect([inFlight.entries, inFlight.records, inFlight.bytes]).toEqual([0, 0, 0]);
      const ids = acknowledged.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
      expect(ids).toEqual(plans.map((_, number) => `${number}-0`));
      expect(reading.isFailing).toBe(false);
    }),
    { numRuns: 60 },
  );
});

const oneRow: Planned = { form: 'records', rows: ['inserted'], badRecords: 0 };

describe('conservation', () => {
  test('of records holds at every step, not only at the end', async () => {
    const residuals = new Set<number>();
    const plans = Array.from({ length: 30 }, (_, index) => ({
      ...oneRow,
      rows: index % 3 === 0 ? (['inserted', 'conflict', refused] as const) : oneRow.rows,
    }));
    const look = () => residuals.add(account.residual(inFlight.countOpen()));
    const heard = events({ batch: look, acknowledged: look, interpreted: look });
    const { pipeline, account, inFlight, allRead } = setUp(
      plans,
      { read: [2], write: [1, 3], acknowledge: [0, 2], move: [1] },
      { events: heard },
      { events: { failed: look } },
    );
    pipeline.start();
    await allRead;
    await pipeline.drain(20_000);

    expect([...residuals]).toEqual([0]);
  });
});

describe('an entry', () => {
  test('is acknowledged only after all of its rows are durable', async () => {
    const opened = Promise.withResolvers<void>();
    const { pipeline, acknowledged, inFlight, allRead } = setUp([oneRow], noTrouble, {
      async write(rows, outcomes) {
        await opened.promise;
        rows.forEach((_, place) => {
          outcomes[place] = 'inserted';
        });
        return 1;
      },
    });
    pipeline.start();
    await allRead;
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect([acknowledged, inFlight.entries]).toEqual([[], 1]);

    opened.resolve();
    await pipeline.drain(20_000);
    expect(acknowledged).toEqual(['0-0']);
  });

  test('that is already in flight is not processed a second time', async () => {
    const opened = Promise.withResolvers<void>();
    let reads = 0;
    const twice = Promise.withResolvers<void>();
    const { pipeline, account } = setUp([oneRow], noTrouble, {
      async read() {
        await turn();
        reads += 1;
        if (reads === 4) twice.resolve();
        return reads <= 2 ? [entry(0)] : [];
      },
      async write(rows, outcomes) {
        await opened.promise;
        rows.forEach((_, place) => {
          outcomes[place] = 'inserted';
        });
        return 1;
      },
    });
    pipeline.start();
    await twice.promise;
    opened.resolve();
    await pipeline.drain(20_000);

    expect(account.totals()).toMatchObject({ read: 1, settled: { inserted: 1 } });
  });

  test('that is acknowledged while a read of pending entries returns it is not processed again', async () => {
    let reads = 0;
    const ended = Promise.withResolvers<void>();
    const { pipeline, account, inFlight, acknowledged } = setUp([oneRow], noTrouble, {
      async read(_limit, beforePending) {
        reads += 1;
        if (reads === 1) return [entry(0)];
        if (reads > 2) {
          ended.resolve();
          await turn();
          return [];
        }
        beforePending();
        expect(inFlight.has(entryId(0))).toBe(true);
        while (inFlight.has(entryId(0))) await turn();
        return [{ ...entry(0), source: 'claimed', deliveries: 2 }];
      },
    });
    pipeline.start();
    await ended.promise;
    await pipeline.drain(20_000);

    expect(acknowledged).toEqual(['0-0']);
    expect(account.totals()).toMatchObject({ read: 1, settled: { inserted: 1, duplicate: 0 } });
  });

  test('that is delivered again as new, by a group that was moved back, is processed', async () => {
    let reads = 0;
    const ended = Promise.withResolvers<void>();
    const { pipeline, acknowledged, inFlight } = setUp([oneRow], noTrouble, {
      async read(_limit, beforePending) {
        reads += 1;
        if (reads === 1) return [entry(0)];
        if (reads > 3) ended.resolve();
        if (reads > 3) await turn();
        if (reads !== 2) return [];
        beforePending();
        while (inFlight.has(entryId(0))) await turn();
        return [entry(0)];
      },
    });
    pipeline.start();
    await ended.promise;
    await pipeline.drain(20_000);

    expect(acknowledged).toEqual(['0-0', '0-0']);
  });

  test('that is claimed after it was released is processed, because another instance had it', async () => {
    let reads = 0;
    const ended = Promise.withResolvers<void>();
    const { pipeline, acknowledged, inFlight } = setUp([oneRow], noTrouble, {
      async read(_limit, beforePending) {
        reads += 1;
        if (reads === 1) return [entry(0)];
        if (reads > 2) {
          ended.resolve();
          await turn();
          return [];
        }
        while (inFlight.has(entryId(0))) await turn();
        beforePending();
        return [{ ...entry(0), source: 'claimed', deliveries: 2 }];
      },
    });
    pipeline.start();
    await ended.promise;
    await pipeline.drain(20_000);

    expect(acknowledged).toEqual(['0-0', '0-0']);
  });
});

describe('an entry whose dead letter cannot be written', () => {
  const rejected: Planned = { form: 'rejected', rows: [], badRecords: 0 };
  const refuse = (failed: readonly HeldEntry[]) => {
    return { moved: [], failed, failure: down('redis') };
  };

  test('does not delay other acknowledgements or reading', async () => {
    const plans = Array.from({ length: 12 }, (_, number) => (number === 1 ? rejected : oneRow));
    const { pipeline, reading, acknowledged, inFlight, allRead } = setUp(plans, noTrouble, {
      async moveRound(waiting) {
        await turn();
        return refuse(waiting);
      },
    });
    pipeline.start();
    await allRead;
    while (inFlight.entries > 1) await turn();

    expect(acknowledged).toHaveLength(11);
    expect(inFlight.ids()).toEqual(['1-0']);
    expect([reading.isFailing, reading.isDeadLetteringBlocked]).toEqual([false, true]);
    expect(reading.deadLettersWaiting).toBe(1);
    expect(await pipeline.drain(20)).toBe(false);
  });

  test('stops reading once the in-flight budget is full, and resumes when it can be written', async () => {
    let blocked = true;
    const moved: EntryId[] = [];
    const plans = Array.from({ length: 60 }, () => rejected);
    const { pipeline, inFlight, allRead } = setUp(plans, noTrouble, {
      async moveRound(waiting) {
        await turn();
        if (blocked) return refuse(waiting.slice(0, 2));
        moved.push(...waiting.map(({ entry: one }) => one.id));
        return { moved: [...waiting], failed: [], failure: null };
      },
    });
    pipeline.start();
    while (!inFlight.isFull) await turn();
    for (let turns = 0; turns < 50; turns += 1) await turn();
    expect(inFlight.entries).toBeLessThan(20);

    blocked = false;
    await allRead;
    expect(await pipeline.drain(20_000)).toBe(true);
    expect(new Set(moved).size).toBe(60);
  });

  test('does not delay other dead letters', async () => {
    const moved: EntryId[] = [];
    const plans = Array.from({ length: 5 }, () => rejected);
    const { pipeline, inFlight, allRead } = setUp(plans, noTrouble, {
      async moveRound(waiting) {
        await turn();
        const round = waiting.slice(0, 1);
        if (round.some(({ entry: one }) => one.id === '0-0')) return refuse(round);
        moved.push(...round.map(({ entry: one }) => one.id));
        return { moved: round, failed: [], failure: null };
      },
    });
    pipeline.start();
    await allRead;
    while (inFlight.entries > 1) await turn();

    expect(moved.toSorted()).toEqual(['1-0', '2-0', '3-0', '4-0']);
    expect(await pipeline.drain(20)).toBe(false);
  });

  /** Reads these entries, one list a read, once the first has met the blocked dead-letter stream. */
  async function readThrough(reads: readonly (readonly Entry[])[], plans: readonly Planned[]) {
    let at = 0;
    const { pipeline, reading, acknowledged } = setUp(plans, noTrouble, {
      async read() {
        await turn();
        if (at === 1 && !reading.isDeadLetteringBlocked) return [];
        at += 1;
        return reads[at - 1] ?? [];
      },
      async moveRound(waiting) {
        await turn();
        return refuse(waiting);
      },
    });
    pipeline.start();
    for (let turns = 0; turns < 2000 && acknowledged.length === 0; turns += 1) await turn();
    await pipeline.drain(20);
    return acknowledged;
  }
  const conflicting: Planned = { form: 'records', rows: ['conflict'], badRecords: 0 };

  test('lets reading resume after an isolated entry whose row the database refuses', async () => {
    const reads = [[entry(0)], [entry(1, 100, 6)], [entry(2)]];
    expect(await readThrough(reads, [rejected, conflicting, oneRow])).toEqual(['2-0']);
  });

  test('lets an isolated entry be processed after a neighbour whose row the database refuses', async () => {
    const reads = [[entry(0)], [entry(1), entry(2, 100, 6)]];
    expect(await readThrough(reads, [rejected, conflicting, oneRow])).toEqual(['2-0']);
  });
});

test('a drain that runs out of time resolves with false and leaves the rest unacknowledged', async () => {
  const { pipeline, acknowledged, inFlight, account, allRead } = setUp(
    [oneRow, oneRow],
    noTrouble,
    {
      write: () => Promise.reject(down('database')),
    },
  );
  pipeline.start();
  await allRead;
  while (inFlight.entries < 2) await turn();

  expect(await pipeline.drain(50)).toBe(false);

  expect(acknowledged).toEqual([]);
  expect(inFlight.ids()).toHaveLength(2);
  expect(account.residual(inFlight.countOpen())).toBe(0);
});

test('reading pauses while a dependency fails and resumes when it recovers', async () => {
  const reported: string[] = [];
  let failing = true;
  const { pipeline, reading, inFlight, account } = setUp(
    [],
    noTrouble,
    {
      async read() {
        await turn();
        reported.push(`read while ${reading.isFailing ? 'failing' : 'well'}`);
        return reported.length === 1 ? [entry(0)] : [];
      },
      interpret: () => ({ kind: 'records', positions: [position()], rejections: [] }),
      write(rows, outcomes) {
        if (failing) return Promise.reject(down('database'));
        outcomes.fill('inserted', 0, rows.length);
        return Promise.resolve(1);
      },
    },
    {
      events: {
        failed(_error, attempt) {
          if (attempt === 5) failing = false;
        },
        recovered(dependency) {
          reported.push(`${dependency} recovered`);
        },
      },
    },
  );
  pipeline.start();
  while (!reported.includes('database recovered')) await turn();
  const before = reported.length;
  while (reported.length === before) await turn();
  await pipeline.drain(20_000);

  // One read may already be under way when the failure comes.
  expect(
    reported.slice(0, before - 1).filter((line) => line.endsWith('failing')).length,
  ).toBeLessThan(2);
  expect(inFlight.entries).toBe(0);
  expect(account.totals().settled.inserted).toBe(1);
});

test('a full buffer pauses reading until entries are released', async () => {
  const plans = Array.from({ length: 60 }, () => ({
    ...oneRow,
    rows: ['inserted', 'inserted'] as const,
  }));
  const paused = new Set<string>();
  let most = 0;
  const heard = events({
    paused: (cause) => paused.add(cause),
    interpreted: () => {
      most = Math.max(most, inFlight.records);
    },
  });
  const { pipeline, inFlight, acknowledged, allRead } = setUp(plans, noTrouble, {
    events: heard,
    async write(rows, outcomes) {
      // Slower than the reads.
      for (let turns = 0; turns < 20; turns += 1) await turn();
      outcomes.fill('inserted', 0, rows.length);
      return 1;
    },
  });
  pipeline.start();
  await allRead;
  await pipeline.drain(20_000);

  // 12 records are the limit; the read that meets it brings 3 entries of 2 records.
  expect(most).toBeLessThan(12 + 6);
  expect(paused).toContain('buffer');
  expect(acknowledged).toHaveLength(60);
});

test('any error but a DependencyError ends the pipeline and rejects finished()', async () => {
  const bug = new TypeError('bug');
  const { pipeline } = setUp([oneRow], noTrouble, {
    interpret() {
      throw bug;
    },
  });
  pipeline.start();

  await expect(pipeline.finished()).rejects.toBe(bug);
});

test('a pipeline that never started drains at once', async () => {
  const { pipeline } = setUp([], noTrouble);

  expect(await pipeline.drain(1000)).toBe(true);
});

test('the held entries that are moved carry the rejections of their records', async () => {
  const seen: HeldEntry[] = [];
  const plan: Planned = { form: 'records', rows: ['conflict', refused], badRecords: 1 };
  const { pipeline, allRead } = setUp([plan], noTrouble, {
    moveRound(waiting) {
      seen.push(...waiting);
      return Promise.resolve({ moved: [...waiting], failed: [], failure: null });
    },
  });
  pipeline.start();
  await allRead;
  await pipeline.drain(20_000);

  expect(seen).toHaveLength(1);
  expect(seen[0]?.rejections.map(({ stage, reason }) => `${stage} ${reason}`)).toEqual([
    'validate ts_out_of_range',
    'conflict conflict',
    'write row_constraint_violated',
  ]);
});

describe('an entry that was delivered too often', () => {
  const poison = entry(1, 100, 6);

  /** Reads the given entries once, in one read. */
  function readOnce(entries: readonly Entry[]) {
    const done = Promise.withResolvers<void>();
    let reads = 0;
    return {
      done: done.promise,
      async read() {
        await turn();
        reads += 1;
        if (reads === 2) done.resolve();
        return reads === 1 ? entries : [];
      },
    };
  }

  test('is processed while nothing else is in flight, after the rest of its read', async () => {
    const { read, done } = readOnce([entry(0), poison, entry(2)]);
    const batches: number[][] = [];
    const { pipeline, account, crashCounts } = setUp([oneRow, oneRow, oneRow], noTrouble, {
      read,
      write(rows, outcomes) {
        batches.push([inFlightNow(), ...rows.map(({ ts }) => ts / 1000)]);
        outcomes.fill('inserted', 0, rows.length);
        return Promise.resolve(1);
      },
    });
    const inFlightNow = () => account.totals().read - account.totals().settled.inserted;
    pipeline.start();
    await done;
    await pipeline.drain(20_000);

    expect(batches).toEqual([
      [2, 0, 2],
      [1, 1],
    ]);
    expect(crashCounts.size).toBe(0);
  });

  test('keeps its crash count when the process dies, and is dead-lettered after three crashes', async () => {
    const attempts: number[] = [];
    for (let life = 1; life <= 4; life += 1) {
      const { read, done } = readOnce([poison]);
      const heard = events({ isolated: (_entry, attempt) => attempts.push(attempt) });
      const { pipeline, crashCounts, account } = setUp([oneRow, oneRow], noTrouble, {
        read,
        events: heard,
        // The write hangs until the process is gone.
        write: () => new Promise(() => {}),
      });
      if (life > 1) crashCounts.set(poison.id, life - 1);
      pipeline.start();
      if (life < 4) {
        while (!attempts.includes(life)) await turn();
        expect(crashCounts.get(poison.id)).toBe(life);
      } else {
        await done;
        await pipeline.drain(20_000);
        expect(account.totals().settled.dead_letter).toBe(1);
        expect(crashCounts.size).toBe(0);
      }
    }
  });

  test('loses its crash count when the database fails, because that is not a crash', async () => {
    const { read, done } = readOnce([poison]);
    let isDown = true;
    const { pipeline, reading, account, crashCounts } = setUp([oneRow, oneRow], noTrouble, {
      read,
      write(rows, outcomes) {
        if (isDown) return Promise.reject(down('database'));
        outcomes.fill('inserted', 0, rows.length);
        return Promise.resolve(1);
      },
    });
    pipeline.start();
    while (!reading.isFailing) await turn();
    while (crashCounts.size > 0) await turn();
    isDown = false;
    await done;
    await pipeline.drain(20_000);

    expect(account.totals().settled.inserted).toBe(1);
  });

  test('stays pending when the service stops before it is processed', async () => {
    const { read } = readOnce([entry(0), poison]);
    const opened = Promise.withResolvers<void>();
    const { pipeline, acknowledged, inFlight } = setUp([oneRow, oneRow], noTrouble, {
      read,
      async write(rows, outcomes) {
        await opened.promise;
        outcomes.fill('inserted', 0, rows.length);
        return 1;
      },
    });
    pipeline.start();
    while (inFlight.entries === 0) await turn();
    const drained = pipeline.drain(20_000);
    opened.resolve();

    expect(await drained).toBe(true);
    expect(acknowledged).toEqual(['0-0']);
  });
});

test('a paused pipeline reads nothing, finishes the entries in flight, and reads again when resumed', async () => {
  const plans = Array.from({ length: 30 }, () => oneRow);
  const causes: string[] = [];
  const { pipeline, reading, account, allRead, inFlight } = setUp(plans, noTrouble, {
    events: events({ paused: (cause) => causes.push(cause) }),
  });
  pipeline.start();
  while (account.totals().read === 0) await turn();
  reading.setPaused(true);
  // The read that was under way may still come.
  for (let turns = 0; turns < 50; turns += 1) await turn();
  const { read } = account.totals();
  for (let turns = 0; turns < 50; turns += 1) await turn();
  expect([account.totals().read, account.totals().settled.inserted, inFlight.entries]).toEqual([
    read,
    read,
    0,
  ]);

  reading.setPaused(false);
  await allRead;
  await pipeline.drain(20_000);
  expect(account.totals().settled.inserted).toBe(30);
  expect(causes).toContain('kill_switch');
});
