import fc from 'fast-check';
import type { Client } from 'pg';
import { expect, test } from 'vitest';
import type { DeviceId } from '../../src/core/types.ts';
import { enqueueChanges } from '../../src/db/domain-changes.ts';
import { loadContract } from '../../src/db/domain-load.ts';
import type { DomainContract } from '../../src/domain/contract.ts';
import { crossingId } from '../../src/domain/crossing-id.ts';
import { derive } from '../../src/domain/derive.ts';
import { evaluationsOf } from '../../src/domain/evaluation.ts';
import type { DomainOptions, Fix } from '../../src/domain/types.ts';
import { type SimulatedStore, simulatedStore } from '../domain/simulated-store.ts';
import { changesDatabase, horizonMs, loadOptions, now, timing } from './domain-changes-subject.ts';
import { deviceId } from './positions.ts';

const options: DomainOptions = { maxHopMs: 60_000, maxSilenceMs: horizonMs };
const imeis: readonly DeviceId[] = [deviceId(1), deviceId(2)];
/** All fixes lie in these seconds after it, one every ten seconds at most. */
const start = now.getTime() - 3_600_000;
const SECONDS = 300;

/** Views over tables whose columns are those of the views, so that any content can be written. */
const plainViews = `
  DROP VIEW processor_contract.geofences_v1, processor_contract.devices_v1, processor_contract.ignored_v1;
  CREATE TABLE public.g (geofence text PRIMARY KEY, scope text, shape json, radius_m float8,
    margin_m float8, valid_from timestamptz, valid_to timestamptz, changed_at timestamptz);
  CREATE TABLE public.d (id text PRIMARY KEY, imei text, device text, subject text, scope text,
    valid_from timestamptz, valid_to timestamptz, changed_at timestamptz);
  CREATE TABLE public.i (id text PRIMARY KEY, imei text, from_ts timestamptz, to_ts timestamptz,
    changed_at timestamptz);
  CREATE VIEW processor_contract.geofences_v1 AS SELECT * FROM public.g;
  CREATE VIEW processor_contract.devices_v1 AS SELECT * FROM public.d;
  CREATE VIEW processor_contract.ignored_v1 AS SELECT * FROM public.i`;
const empty = `TRUNCATE public.g, public.d, public.i, positions.outbox, positions.domain_seen`;

interface Edit {
  readonly sql: string;
  readonly values: readonly unknown[];
}

const second = fc.integer({ min: -20, max: SECONDS + 20 });
const end = fc.oneof(fc.constant(null), second);
const time = (seconds: number | null) =>
  seconds === null ? null : new Date(start + seconds * 1000);
const scope = fc.constantFrom(null, 'a', 'b');
const geofenceKey = fc.constantFrom('g1', 'g2', 'g3');
const row = fc.constantFrom('1', '2', '3');

const putGeofence: fc.Arbitrary<Edit> = fc
  .tuple(geofenceKey, scope, fc.nat(2), fc.constantFrom(30, 60), fc.constantFrom(0, 20), end, end)
  .map(([key, held, place, radius, margin, from, to]) => ({
    sql: `INSERT INTO public.g VALUES ($1, $2, $3, $4, $5, $6, $7)
          ON CONFLICT (geofence) DO UPDATE SET scope = excluded.scope, shape = excluded.shape,
            radius_m = excluded.radius_m, margin_m = excluded.margin_m,
            valid_from = excluded.valid_from, valid_to = excluded.valid_to`,
    values: [key, held, shapeAt(place), radius, margin, time(from), time(to)],
  }));
const shapeAt = (place: number) =>
  JSON.stringify({ type: 'Point', coordinates: [25 + place / 1000, 54] });

const moveGeofence: fc.Arbitrary<Edit> = fc
  .tuple(geofenceKey, fc.constantFrom('valid_from', 'valid_to'), end)
  .map(([key, column, to]) => ({
    sql: `UPDATE public.g SET ${column} = $2 WHERE geofence = $1`,
    values: [key, time(to)],
  }));
const scopeGeofence: fc.Arbitrary<Edit> = fc.tuple(geofenceKey, scope).map(([key, held]) => ({
  sql: 'UPDATE public.g SET scope = $2 WHERE geofence = $1',
  values: [key, held],
}));
const putAssignment: fc.Arbitrary<Edit> = fc
  .tuple(row, fc.nat(1), fc.constantFrom(null, 's'), scope, end, end)
  .map(([id, device, subject, held, from, to]) => ({
    sql: `INSERT INTO public.d VALUES ($1, $2, $3, $4, $5, $6, $7)
          ON CONFLICT (id) DO UPDATE SET imei = excluded.imei, device = excluded.device,
            subject = excluded.subject, scope = excluded.scope,
            valid_from = excluded.valid_from, valid_to = excluded.valid_to`,
    values: [id, imeis[device], `d${device}`, subject, held, time(from), time(to)],
  }));
const moveAssignment: fc.Arbitrary<Edit> = fc
  .tuple(row, fc.constantFrom('valid_from', 'valid_to'), end)
  .map(([id, column, to]) => ({
    sql: `UPDATE public.d SET ${column} = $2 WHERE id = $1`,
    values: [id, time(to)],
  }));
const putIgnored: fc.Arbitrary<Edit> = fc
  .tuple(row, fc.nat(1), second, fc.integer({ min: 1, max: 60 }))
  .map(([id, device, from, length]) => ({
    sql: `INSERT INTO public.i VALUES ($1, $2, $3, $4)
          ON CONFLICT (id) DO UPDATE SET imei = excluded.imei, from_ts = excluded.from_ts,
            to_ts = excluded.to_ts`,
    values: [id, imeis[device], time(from), time(from + length)],
  }));
const remove: fc.Arbitrary<Edit> = fc
  .oneof(
    geofenceKey.map((key) => ['g', 'geofence', key]),
    row.map((id) => ['d', 'id', id]),
    row.map((id) => ['i', 'id', id]),
  )
  .map(([table, column, value]) => ({
    sql: `DELETE FROM public.${table} WHERE ${column} = $1`,
    values: [value],
  }));

const edit = fc.oneof(
  { weight: 3, arbitrary: putGeofence },
  { weight: 3, arbitrary: moveGeofence },
  scopeGeofence,
  { weight: 2, arbitrary: putAssignment },
  { weight: 2, arbitrary: moveAssignment },
  putIgnored,
  remove,
);
/** Each step is one poll, which may find several edits. */
const steps = fc.array(fc.array(edit, { minLength: 1, maxLength: 3 }), {
  minLength: 4,
  maxLength: 10,
});

/** A drive along the places of the geofences, between and through them. */
const drive = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: -10, max: 30 })), {
    minLength: 15,
    maxLength: 40,
  })
  .map((moves) => {
    let seconds = 0;
    const fixes: Fix[] = [];
    for (const [wait, place] of moves) {
      seconds += wait;
      const longitude = 25 + place / 10_000;
      fixes.push({ ts: start + seconds * 1000, latitude: 54, longitude });
    }
    return fixes;
  });

interface Subject {
  readonly imei: DeviceId;
  readonly fixes: readonly Fix[];
  readonly store: SimulatedStore;
}

function usable({ imei, fixes }: Subject, contract: DomainContract): Fix[] {
  const ignored = contract.ignoredOf(imei);
  return fixes.filter(({ ts }) => !ignored.some(({ from, to }) => ts >= from && ts < to));
}

function apply(subject: Subject, contract: DomainContract): void {
  const { store, imei } = subject;
  store.remove({ since: -Infinity, until: Infinity });
  store.store(usable(subject, contract));
  store.setGeofences(contract.index.all);
  store.setAssignments(contract.assignmentsOf(imei));
}

function expected(subject: Subject, contract: DomainContract): string[] {
  const evaluations = contract.index.all.flatMap((geofence) =>
    evaluationsOf(geofence, contract.assignmentsOf(subject.imei)),
  );
  return derive(usable(subject, contract), evaluations, options).map(crossingId).toSorted();
}

async function takeRanges(client: Client) {
  const { rows } = await client.query<{ imei: string; since: number; until: number }>(
    `DELETE FROM positions.outbox RETURNING device_id AS imei,
       (extract(epoch FROM from_ts) * 1000)::float8 AS since,
       (extract(epoch FROM to_ts) * 1000)::float8 AS until`,
  );
  return rows;
}

test('the enqueued ranges are enough: computing them again gives what a derivation from scratch gives', async () => {
  const { client } = await changesDatabase();
  await client.query(plainViews);
  const table = { ...timing, deviceType: 'text', geofenceType: 'text' };
  const subjectTable = { ...table, subject: { column: 'vehicle', type: 'text' } };
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(fc.tuple(drive, drive), steps, async (drives, story) => {
      await client.query(empty);
      const subjects = imeis.map((imei, at) => ({
        imei,
        fixes: drives[at] ?? [],
        store: simulatedStore([], options),
      }));
      for (const edits of story) {
        for (const { sql, values } of edits) await client.query(sql, [...values]);
        await enqueueChanges(client, loadOptions, now);
        const ranges = await takeRanges(client);
        const contract = await loadContract(client, subjectTable, loadOptions, () => now);
        for (const subject of subjects) {
          apply(subject, contract);
          for (const { imei, since, until } of ranges) {
            if (imei === subject.imei) subject.store.work({ since, until });
          }
          const wanted = expected(subject, contract);
          compared += wanted.length;
          expect(
            subject.store
              .live()
              .map(({ id }) => id)
              .toSorted(),
          ).toEqual(wanted);
        }
      }
    }),
    { numRuns: 150 },
  );
  expect(compared).toBeGreaterThan(1000);
});
