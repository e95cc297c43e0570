import type pg from 'pg';
import type { DeviceId } from '../core/types.ts';
import type {
  EdgeRequest,
  Edges,
  FixPage,
  FixRequest,
  IgnoredOf,
  StoredFix,
} from '../domain/ports.ts';
import type { Fix } from '../domain/types.ts';

export interface WindowOptions {
  readonly minSatellites: number;
  /** Ranges of a device whose fixes do not count. */
  readonly ignoredOf: IgnoredOf;
}

const isUsable = 'position.fix AND position.satellites >= $5 AND position.latitude IS NOT NULL';

/** The planner removes this where no device of the query has an ignored range. */
const isNotIgnored = `(pg_catalog.cardinality($6::text[]) = 0 OR NOT EXISTS (
    SELECT FROM unnest($6::text[], $7::float8[], $8::float8[])
                AS ignored (device, since, until)
     WHERE ignored.device = position.device_id
       AND position.ts >= to_timestamp(ignored.since / 1000)
       AND position.ts < to_timestamp(ignored.until / 1000)))`;

const columns =
  '(extract(epoch FROM position.ts) * 1000)::float8 AS ts, position.latitude, position.longitude';

const asked = `unnest($1::int[], $2::text[], $3::float8[], $4::float8[])
  AS asked (ord, device, since, until)`;

/** Besides each range's own bounds those of all, so that the planner leaves out other chunks. */
const selectFixes = `
SELECT asked.ord, found.* FROM ${asked}
CROSS JOIN LATERAL (
  (SELECT false AS "isAfter", coalesce(${isUsable}, false) AS "isUsable", ${columns}
     FROM public.positions AS position
    WHERE position.device_id = asked.device
      AND position.ts >= to_timestamp(asked.since / 1000)
      AND position.ts <= to_timestamp(asked.until / 1000)
      AND position.ts >= to_timestamp($10::float8 / 1000)
      AND position.ts <= to_timestamp($11::float8 / 1000)
    ORDER BY position.ts LIMIT $9)
  UNION ALL
  (SELECT true, true, ${columns}
     FROM public.positions AS position
    WHERE position.device_id = asked.device
      AND position.ts > to_timestamp(asked.until / 1000)
      AND position.ts > to_timestamp($10::float8 / 1000)
      AND ${isUsable} AND ${isNotIgnored}
    ORDER BY position.ts LIMIT 1)
) AS found
ORDER BY asked.ord, found."isAfter", found.ts`;

interface FixRow {
  readonly ord: number;
  readonly isAfter: boolean;
  readonly isUsable: boolean;
  readonly ts: number;
  readonly latitude: number | null;
  readonly longitude: number | null;
}

/** Reads the positions of many ranges and the first usable one after each, in one query. */
export async function readFixes(
  client: pg.ClientBase,
  requests: readonly FixRequest[],
  limit: number,
  options: WindowOptions,
): Promise<FixPage[]> {
  if (requests.length === 0) return [];
  const { rows } = await client.query<FixRow>(selectFixes, [
    ...valuesOf(requests),
    ...usabilityOf(requests, options),
    limit,
    Math.min(...requests.map(({ since }) => since)),
    Math.max(...requests.map(({ until }) => until)),
  ]);
  const pages = requests.map(({ device }) => emptyPage(options.ignoredOf(device)));
  for (const row of rows) pages[row.ord]?.add(row);
  return pages;
}

function emptyPage(ignored: ReturnType<IgnoredOf>) {
  const rows: StoredFix[] = [];
  const page: { rows: StoredFix[]; after: Fix | null } = { rows, after: null };
  const isIgnored = (ts: number) => ignored.some(({ from, to }) => ts >= from && ts < to);
  return Object.assign(page, {
    add(row: FixRow) {
      const fix = row.isUsable ? toFix(row.ts, row.latitude, row.longitude) : null;
      if (row.isAfter) page.after = fix;
      else rows.push({ ts: row.ts, fix: fix === null || isIgnored(row.ts) ? null : fix });
    },
  });
}

/**
 * The fix before a range; where there is none, the first position that is left, which shows whether
 * older ones were deleted; and the last one after the range.
 */
const selectEdges = `
SELECT asked.ord, previous.*, first.ts AS first, last.ts AS last
FROM unnest($1::int[], $2::text[], $3::float8[], $4::float8[], $9::float8[], $10::boolean[])
  AS asked (ord, device, since, until, floor, wants_last)
LEFT JOIN LATERAL (
  SELECT ${columns} FROM public.positions AS position
   WHERE position.device_id = asked.device
     AND position.ts >= to_timestamp(asked.floor / 1000)
     AND position.ts < to_timestamp(asked.since / 1000)
     AND position.ts >= to_timestamp($11::float8 / 1000)
     AND position.ts < to_timestamp($12::float8 / 1000)
     AND ${isUsable} AND ${isNotIgnored}
   ORDER BY position.ts DESC LIMIT 1) AS previous ON true
LEFT JOIN LATERAL (
  SELECT (extract(epoch FROM position.ts) * 1000)::float8 AS ts FROM public.positions AS position
   WHERE previous.ts IS NULL AND position.device_id = asked.device
     AND position.ts >= to_timestamp(asked.floor / 1000)
     AND position.ts >= to_timestamp($11::float8 / 1000)
   ORDER BY position.ts LIMIT 1) AS first ON true
LEFT JOIN LATERAL (
  SELECT (extract(epoch FROM position.ts) * 1000)::float8 AS ts FROM public.positions AS position
   WHERE asked.wants_last AND position.device_id = asked.device
     AND position.ts > to_timestamp(asked.until / 1000)
     AND position.ts > to_timestamp($13::float8 / 1000)
   ORDER BY position.ts DESC LIMIT 1) AS last ON true`;

interface EdgeRow {
  readonly ord: number;
  readonly ts: number | null;
  readonly latitude: number | null;
  readonly longitude: number | null;
  readonly first: number | null;
  readonly last: number | null;
}

/** Reads what lies around many ranges, in one query. */
export async function readEdges(
  client: pg.ClientBase,
  requests: readonly EdgeRequest[],
  options: WindowOptions,
): Promise<Edges[]> {
  if (requests.length === 0) return [];
  const { rows } = await client.query<EdgeRow>(selectEdges, [
    ...valuesOf(requests),
    ...usabilityOf(requests, options),
    requests.map(({ floor }) => floor),
    requests.map(({ wantsLast }) => wantsLast),
    Math.min(...requests.map(({ floor }) => floor)),
    Math.max(...requests.map(({ since }) => since)),
    Math.min(...requests.map(({ until }) => until)),
  ]);
  const edges: Edges[] = requests.map(() => ({ previous: null, firstTs: null, lastTs: null }));
  for (const { ord, ts, latitude, longitude, first, last } of rows) {
    const previous = ts === null ? null : toFix(ts, latitude, longitude);
    edges[ord] = { previous, firstTs: first, lastTs: last };
  }
  return edges;
}

/** Whether a position is stored at each of these times, by one probe of the primary key each. */
export async function areStored(
  client: pg.ClientBase,
  requests: readonly { readonly device: DeviceId; readonly ts: number }[],
): Promise<boolean[]> {
  if (requests.length === 0) return [];
  const times = requests.map(({ ts }) => ts);
  const { rows } = await client.query<{ ord: number }>(
    `SELECT asked.ord FROM unnest($1::int[], $2::text[], $3::float8[]) AS asked (ord, device, ts)
      CROSS JOIN LATERAL (
        SELECT FROM public.positions AS position
         WHERE position.device_id = asked.device AND position.ts = to_timestamp(asked.ts / 1000)
           AND position.ts >= to_timestamp($4::float8 / 1000)
           AND position.ts <= to_timestamp($5::float8 / 1000)
         LIMIT 1) AS found`,
    [
      [...requests.keys()],
      requests.map(({ device }) => device),
      times,
      times.reduce((a, b) => Math.min(a, b)),
      times.reduce((a, b) => Math.max(a, b)),
    ],
  );
  const stored = requests.map(() => false);
  for (const { ord } of rows) stored[ord] = true;
  return stored;
}

function valuesOf(requests: readonly FixRequest[]) {
  return [
    [...requests.keys()],
    requests.map(({ device }) => device),
    requests.map(({ since }) => since),
    requests.map(({ until }) => until),
  ];
}

function usabilityOf(requests: readonly FixRequest[], { minSatellites, ignoredOf }: WindowOptions) {
  const devices = new Set<DeviceId>(requests.map(({ device }) => device));
  const ignored = [...devices].flatMap((device) =>
    ignoredOf(device).map(({ from, to }) => ({ device, from, to })),
  );
  return [
    minSatellites,
    ignored.map(({ device }) => device),
    ignored.map(({ from }) => from),
    ignored.map(({ to }) => to),
  ];
}

function toFix(ts: number, latitude: number | null, longitude: number | null): Fix | null {
  return latitude === null || longitude === null ? null : { ts, latitude, longitude };
}
