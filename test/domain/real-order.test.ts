import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceId } from '../../src/core/types.ts';
import { crossingId } from '../../src/domain/crossing-id.ts';
import { derive } from '../../src/domain/derive.ts';
import { evaluationsOf, mergeAssignments } from '../../src/domain/evaluation.ts';
import type { GeofenceRow } from '../../src/domain/geofence.ts';
import type { DomainStore, DomainTransaction } from '../../src/domain/ports.ts';
import type { Assignment, DomainOptions, Fix, Validity } from '../../src/domain/types.ts';
import { insertDevice } from '../../tools/domain-fixture.ts';
import { eventually } from '../../tools/service.ts';
import { deviceId } from '../db/positions.ts';
import { freshDatabase } from '../setup/database.ts';
import { deviceKey, geofenceId, subjectKey } from './places.ts';
import {
  contractOf,
  createTestWorker,
  type DomainDatabase,
  enqueueChange,
  fewRows,
  insertKeys,
  liveRecords,
  manyRows,
  openDomainDatabase,
  outboxRows,
  storeFixes,
  type TestWorker,
} from './real-store.ts';
import { arrivalOf, type Event, geofencesOf, type Story, stories } from './story.ts';

const options: DomainOptions = { maxHopMs: 120_000, maxSilenceMs: 300_000 };
const always: Validity = { from: -Infinity, to: Infinity };
const runs = Number(process.env.DOMAIN_STORIES ?? 60);

interface Mishaps {
  readonly isFatal: () => boolean;
  /** Before it writes what it computed. */
  readonly delayMs: () => number;
}

/** A worker that waits, or dies, at some call of a transaction: what it did in it is rolled back. */
function mortalStore(store: DomainStore, { isFatal, delayMs }: Mishaps): DomainStore {
  const survive = () => {
    if (isFatal()) throw new Error('killed');
  };
  function mortal(tx: DomainTransaction): DomainTransaction {
    return {
      ...tx,
      async readFixes(...request) {
        survive();
        return await tx.readFixes(...request);
      },
      async supersede(ids) {
        await sleep(delayMs());
        survive();
        return await tx.supersede(ids);
      },
      async insert(crossings) {
        survive();
        return await tx.insert(crossings);
      },
      async putBack(ranges) {
        survive();
        return await tx.putBack(ranges);
      },
    };
  }
  return {
    ...store,
    transaction: (timing, work) => store.transaction(timing, (tx) => work(mortal(tx))),
  };
}

/** The keys of one story's device, geofences and vehicles, which exist in the collections. */
interface Cast {
  readonly imei: DeviceId;
  readonly device: string;
  readonly geofences: ReadonlyMap<string, string>;
  readonly vehicles: ReadonlyMap<string, string>;
}

let casts = 0;

async function createCast({ client }: DomainDatabase): Promise<Cast> {
  casts += 1;
  const imei = deviceId(casts);
  const device = await insertDevice(client, imei);
  const geofences = await insertKeys(client, 'geofences', 3);
  const [car = '', van = ''] = await insertKeys(client, 'vehicles', 2);
  return {
    imei,
    device,
    geofences: new Map(geofences.map((id, index) => [`geofence-${index}`, id])),
    vehicles: new Map([
      ['car', car],
      ['van', van],
    ]),
  };
}

const known = (map: ReadonlyMap<string, string>, name: string) => map.get(name) ?? '';

function castRow(row: GeofenceRow, { geofences }: Cast): GeofenceRow {
  return { ...row, id: geofenceId(known(geofences, row.id)) };
}

function castAssignment(assignment: Assignment, { device, vehicles }: Cast): Assignment {
  const { subject } = assignment;
  return {
    ...assignment,
    device: deviceKey(device),
    subject: subject === null ? null : subjectKey(known(vehicles, subject)),
  };
}

async function tell(database: DomainDatabase, story: Story) {
  const { client, store } = database;
  const { fixes, batch, choices } = story;
  const cast = await createCast(database);
  const { imei } = cast;
  const merged = mergeAssignments(story.assignments.map((one) => castAssignment(one, cast)));
  const current = new Map(story.rows.map((row) => [row.id, castRow(row, cast)]));
  const ignored: Validity[] = [];
  let choice = 0;
  const choose = (below: number) => (choices[choice++ % choices.length] ?? 0) % below;
  const limits = choose(3) === 0 ? manyRows : fewRows;
  // With one row a batch, several workers have work of the same device.
  const change = { batchDevices: choose(2) === 0 ? 1 : 500 };

  let version = await enqueueChange(client, imei, always);
  const geofences = () => geofencesOf([...current.values()]);
  const newest = () => {
    const ranges = [...ignored];
    const rules = { geofences: geofences(), assignmentsOf: () => merged, ignoredOf: () => ranges };
    return contractOf(rules, version);
  };
  let lives = 3;
  const mortal = mortalStore(store, {
    delayMs: () => (choose(3) === 0 ? 20 : 0),
    isFatal() {
      const isFatal = lives > 0 && choose(20) === 0;
      if (isFatal) lives -= 1;
      return isFatal;
    },
  });
  const workers = [mortal, mortal, store].map((one) =>
    createTestWorker({ ...options, store: one, newest, limits, change }),
  );
  const [first, second, last] = workers as [TestWorker, TestWorker, TestWorker];

  async function happen(event: Event): Promise<void> {
    if (event.kind === 'ignore') {
      const range = { from: event.at, to: event.at + event.length };
      // Set, or lifted again.
      const set = ignored.findIndex(({ from }) => choose(2) === 0 && from <= range.to);
      const [lifted = range] = set < 0 ? [] : ignored.splice(set, 1);
      if (set < 0) ignored.push(range);
      version = await enqueueChange(client, imei, lifted);
      return;
    }
    const id = story.rows[event.position]?.id;
    if (id === undefined) return;
    if (event.kind === 'edit') current.set(id, castRow({ ...event.row, id }, cast));
    else current.delete(id);
    version = await enqueueChange(client, imei, always);
  }

  // The first worker is often still at it while positions arrive and the others work.
  let busy: Promise<unknown> = Promise.resolve();
  async function work(): Promise<void> {
    if (choose(2) === 0) {
      await busy;
      busy = first.next();
    }
    if (choose(3) === 0) await Promise.all([second.next(), last.next()]);
    else await second.next();
  }

  const arriving = arrivalOf(story);
  const waiting = [...story.events];
  const arrived: Fix[] = [];
  for (let turn = 0; arriving.length > 0; turn += 1) {
    const next = arriving.splice(0, batch[turn % batch.length] ?? 1);
    // A packet that is sent again, or in another composition.
    const again = arrived.filter(() => choose(8) === 0);
    arrived.push(...next);
    await Promise.all([
      storeFixes(client, imei, [...next, ...again]),
      choose(3) === 0 ? work() : undefined,
    ]);
    const event = choose(4) === 0 ? waiting.pop() : undefined;
    if (event !== undefined) await happen(event);
    for (let more = choose(4); more > 0; more -= 1) await work();
  }
  for (const event of waiting) await happen(event);
  await busy;
  await Promise.all(workers.map((worker) => worker.drain()));
  // The connection of one that died may hold its rows for a moment longer.
  await eventually('the outbox is empty', async () => {
    await last.drain();
    return (await outboxRows(client)) === 0 ? true : undefined;
  });
  const isUsable = ({ ts }: Fix) => !ignored.some(({ from, to }) => ts >= from && ts < to);
  const evaluations = geofences().flatMap((geofence) => evaluationsOf(geofence, merged));
  const expected = derive(fixes.filter(isUsable), evaluations, options);
  const failures = workers.flatMap((worker) => worker.failures);
  return { device: cast.device, expected, failures };
}

describe('the worker', () => {
  let database: DomainDatabase;
  beforeAll(async () => {
    database = await openDomainDatabase(freshDatabase);
  });
  afterAll(() => database.close());

  test('stores what derivation from scratch gives, whatever happens in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(stories, async (story) => {
        const { device, expected, failures } = await tell(database, story);

        const wanted = expected
          .map((crossing) => ({ id: crossingId(crossing), ...crossing }))
          .toSorted(byKey);
        const live = (await liveRecords(database.client, device)).toSorted(byKey);
        expect(live).toEqual(wanted);
        expect(failures.filter(({ error }) => !isKill(error))).toEqual([]);
      }),
      // Without shrinking: each story takes a tenth of a second.
      { numRuns: runs, endOnFailure: true },
    );
  });
});

function byKey(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

function isKill(error: unknown): boolean {
  return error instanceof Error && error.message === 'killed';
}
