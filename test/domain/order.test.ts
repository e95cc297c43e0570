import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crossingId } from '../../src/domain/crossing-id.ts';
import { derive } from '../../src/domain/derive.ts';
import { evaluationsOf, mergeAssignments } from '../../src/domain/evaluation.ts';
import type { Geofence } from '../../src/domain/geofence.ts';
import type { Assignment, DomainOptions } from '../../src/domain/types.ts';
import { deviceKey, geofenceId, subjectKey } from './places.ts';
import { type Range, type SimulatedStore, simulatedStore } from './simulated-store.ts';
import { arrivalOf, type Event, geofencesOf, type Story, stories } from './story.ts';

const options: DomainOptions = { maxHopMs: 120_000, maxSilenceMs: 300_000 };
const everything: Range = { since: -Infinity, until: Infinity };

function tell(story: Story) {
  const { fixes, rows, assignments, batch, events, choices } = story;
  const merged = mergeAssignments(assignments);
  const store = simulatedStore(merged, options);
  const current = new Map(rows.map((row) => [row.id, row]));
  const pending: Range[] = [];
  let choice = 0;
  const choose = (below: number) => (choices[choice++ % choices.length] ?? 0) % below;

  function workOne(): void {
    const [range] = pending.splice(choose(pending.length), 1);
    if (range === undefined) return;
    store.work(range);
    // A worker that died after its commit, before it noticed: the same range again.
    if (choose(10) === 0) pending.push(range);
  }

  /** A range may be worked on in parts, in any order. */
  function enqueue({ since, until }: Range): void {
    const middle = fixes[choose(fixes.length || 1)]?.ts ?? since;
    if (choose(3) !== 0 || middle <= since || middle >= until) pending.push({ since, until });
    else pending.push({ since, until: middle }, { since: middle + 1, until });
  }

  function happen(event: Event): void {
    if (event.kind === 'ignore') {
      const range = { since: event.at, until: event.at + event.length };
      store.remove(range);
      enqueue(range);
      return;
    }
    const id = rows[event.position]?.id;
    if (id === undefined) return;
    if (event.kind === 'edit') current.set(id, { ...event.row, id });
    else current.delete(id);
    store.setGeofences(geofencesOf([...current.values()]));
    enqueue(everything);
  }

  store.setGeofences(geofencesOf([...current.values()]));
  const arriving = arrivalOf(story);
  const ignored: Range[] = [];
  const waiting = [...events];
  for (let turn = 0; arriving.length > 0; turn += 1) {
    const size = batch[turn % batch.length] ?? 1;
    // What lies in an ignored range is not usable, whenever it arrives.
    const arrived = arriving
      .splice(0, size)
      .filter(({ ts }) => !ignored.some(({ since, until }) => ts >= since && ts <= until));
    store.store(arrived);
    const times = arrived.map(({ ts }) => ts);
    if (times.length > 0) enqueue({ since: Math.min(...times), until: Math.max(...times) });
    if (choose(4) === 0) {
      const event = waiting.pop();
      if (event !== undefined) happen(event);
      if (event?.kind === 'ignore') {
        ignored.push({ since: event.at, until: event.at + event.length });
      }
    }
    while (pending.length > 0 && choose(2) === 0) workOne();
  }
  for (const event of waiting) happen(event);
  while (pending.length > 0) workOne();
  return { store, geofences: geofencesOf([...current.values()]), merged };
}

function expectDerived(
  store: SimulatedStore,
  geofences: Geofence[],
  merged: readonly Assignment[],
) {
  const evaluations = geofences.flatMap((geofence) => evaluationsOf(geofence, merged));
  const derived = derive(store.fixes(), evaluations, options).map(crossingId).sort();
  const live = store
    .live()
    .map(({ id }) => id)
    .sort();
  expect(live).toEqual(derived);
  expect(new Set(derived).size).toBe(derived.length);
}

test('any order of arrival, cut, repetition, edit and deletion gives what derivation from scratch gives', () => {
  fc.assert(
    fc.property(stories, (story) => {
      const { store, geofences, merged } = tell(story);
      expectDerived(store, geofences, merged);
    }),
    { numRuns: 10_000 },
  );
}, 240_000);

test('a state that followed from a fix ends with it where it is ignored before its own crossing is stored', () => {
  // 40 m around the place, and 40 m more for the way out.
  const row = {
    id: geofenceId('geofence-1'),
    scope: null,
    radiusM: 40,
    marginM: 40,
    from: -Infinity,
    to: Infinity,
  };
  const shape = { type: 'Point', coordinates: [25, 54] } as const;
  const geofences = geofencesOf([{ ...row, shape }]);
  const assigned = [
    {
      device: deviceKey('device-1'),
      subject: subjectKey('car'),
      scope: null,
      from: 0,
      to: Infinity,
    },
  ];
  const merged = mergeAssignments(assigned);
  const at = (ts: number, latitude: number) => ({ ts, latitude, longitude: 25 });
  const [inside, inMargin] = [54, 54.0005];
  const store = simulatedStore(merged, options);
  store.setGeofences(geofences);
  store.store([at(1_000, inside), at(2_000, inMargin), at(130_000, inside), at(131_000, inside)]);
  store.work({ since: 2_000, until: 130_000 });
  expect(store.live()).toEqual([]);
  store.remove({ since: 0, until: 1_000 });
  store.work({ since: 0, until: 1_000 });

  expectDerived(store, geofences, merged);
  expect(store.live()).toMatchObject([{ direction: 'enter', method: 'gap', at: 130_000 }]);
});
