import { z } from 'zod';
import { crossingId } from '../src/domain/crossing-id.ts';
import { derive } from '../src/domain/derive.ts';
import { evaluationOf } from '../src/domain/evaluation.ts';
import type { Geofence } from '../src/domain/geofence.ts';
import type { Assignment, Crossing, DomainOptions, Fix } from '../src/domain/types.ts';
import type { CrossingSource } from '../src/simulator/crossing-check.ts';
import type { Api } from './api.ts';
import { ask } from './database.ts';

const record = z.object({
  id: z.string(),
  device: z.object({ id: z.string(), imei: z.string() }),
  geofence: z.string(),
  vehicle: z.string().nullable(),
  direction: z.string(),
  at: z.string(),
  before_ts: z.string().nullable(),
  after_ts: z.string(),
  method: z.string(),
  // Directus answers a decimal as text.
  latitude: z.coerce.number(),
  longitude: z.coerce.number(),
  source: z.string(),
});
export type TimingRecord = z.infer<typeof record>;

/** Timing records that are not superseded, as Directus' API answers them. */
export async function liveRecords(api: Api): Promise<TimingRecord[]> {
  const fields = 'fields=*,device.id,device.imei';
  const path = `/items/timing_records?limit=-1&filter[superseded_at][_null]=true&${fields}`;
  return z.array(record).parse(await api.data('GET', path));
}

export async function countSuperseded(api: Api): Promise<number> {
  const path = '/items/timing_records?limit=-1&filter[superseded_at][_nnull]=true&fields=id';
  return z.array(z.unknown()).parse(await api.data('GET', path)).length;
}

/** The same records for the check of the simulator. */
export function crossingSource(records: readonly TimingRecord[]): CrossingSource {
  return {
    async *crossings(devices) {
      const known = new Set(devices);
      const stored = records.map(({ device, geofence, direction, at }) => {
        return { device: device.imei, geofence, direction, at: Date.parse(at) };
      });
      yield await Promise.resolve(stored.filter(({ device }) => known.has(device)));
    },
  };
}

/** One line a record, sorted, for a comparison of whole contents. */
export function linesOf(records: readonly TimingRecord[]): string[] {
  return records
    .map(({ id, device, geofence, vehicle, direction, method, source, ...rest }) => {
      const before = rest.before_ts === null ? null : Date.parse(rest.before_ts);
      const times = [Date.parse(rest.at), before, Date.parse(rest.after_ts)];
      const place = [rest.latitude, rest.longitude];
      const keys = [id, device.id, geofence, vehicle];
      return JSON.stringify([...keys, direction, ...times, method, ...place, source]);
    })
    .sort();
}

/** What must be there: every evaluation of every assigned device. */
export interface Expectation {
  /** Of a role that reads positions. */
  readonly url: string;
  readonly geofences: readonly Geofence[];
  /** By IMEI. */
  readonly assignments: ReadonlyMap<string, Assignment>;
  readonly options: DomainOptions;
}

/** The same lines, from the stored positions by the definition of `derive`. */
export async function derivedLines(expectation: Expectation): Promise<string[]> {
  const { url, geofences, assignments, options } = expectation;
  const fixes = await usableFixes(url);
  return [...assignments]
    .flatMap(([imei, assignment]) => {
      const evaluations = geofences.flatMap((one) => evaluationOf(one, assignment) ?? []);
      return derive(fixes.get(imei) ?? [], evaluations, options);
    })
    .map(lineOf)
    .sort();
}

function lineOf(crossing: Crossing): string {
  const { device, geofence, subject, direction, at, beforeTs, afterTs, method } = crossing;
  const place = [crossing.latitude, crossing.longitude];
  const keys = [crossingId(crossing), device, geofence, subject];
  const times = [at, beforeTs, afterTs];
  return JSON.stringify([...keys, direction, ...times, method, ...place, 'processor']);
}

async function usableFixes(url: string): Promise<Map<string, Fix[]>> {
  const rows = await ask<Fix & { readonly imei: string }>(
    url,
    `SELECT device_id AS imei, (extract(epoch FROM ts) * 1000)::float8 AS ts, latitude, longitude
       FROM public.positions
      WHERE fix AND satellites >= 4 AND latitude IS NOT NULL ORDER BY ts`,
  );
  return Map.groupBy(rows, ({ imei }) => imei);
}
