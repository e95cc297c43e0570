import pg from 'pg';
import type { TimingTable } from '../domain/contract.ts';
import type { CrossingRequest, LastRequest } from '../domain/ports.ts';
import type { GeofenceId, KeyedCrossing, LiveCrossing } from '../domain/types.ts';

/** Rows that one statement inserts. */
const insertedAtATime = 5000;

const quoted = pg.escapeIdentifier;

function tableOf({ schema, name }: TimingTable): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

const isLive = `record.superseded_at IS NULL AND record.source = 'processor'`;

function columnsOf({ subject }: TimingTable): string {
  const milliseconds = (column: string) =>
    `pg_catalog.round(extract(epoch FROM record.${column}) * 1000)::float8`;
  return `record.id::text AS id, record.device::text AS device, record.geofence::text AS geofence,
    ${subject === null ? 'NULL' : `record.${quoted(subject.column)}::text`} AS subject,
    record.direction::text AS direction, record.method::text AS method,
    ${milliseconds('at')} AS at, ${milliseconds('before_ts')} AS "beforeTs",
    ${milliseconds('after_ts')} AS "afterTs"`;
}

type CrossingRow = LiveCrossing & { readonly ord: number };

/** Reads the live crossings of many windows, in one query. */
export async function readCrossings(
  client: pg.ClientBase,
  timing: TimingTable,
  requests: readonly CrossingRequest[],
): Promise<LiveCrossing[][]> {
  const probes = requests.flatMap(({ devices, from, to }, ord) =>
    devices.map((device) => ({ ord, device, from, to })),
  );
  if (probes.length === 0) return requests.map(() => []);
  const { rows } = await client.query<CrossingRow>(
    `SELECT asked.ord, found.*
       FROM unnest($1::int[], $2::text[], $3::float8[], $4::float8[])
            AS asked (ord, device, since, until)
      CROSS JOIN LATERAL (
        SELECT ${columnsOf(timing)} FROM ${tableOf(timing)} AS record
         WHERE record.device = asked.device::${timing.deviceType}
           AND record.after_ts > to_timestamp(asked.since / 1000)
           AND record.after_ts <= to_timestamp(asked.until / 1000)
           AND ${isLive}) AS found`,
    [
      probes.map(({ ord }) => ord),
      probes.map(({ device }) => device),
      probes.map(({ from }) => from),
      probes.map(({ to }) => to),
    ],
  );
  const found = requests.map((): LiveCrossing[] => []);
  for (const { ord, ...crossing } of rows) found[ord]?.push(crossing);
  return found;
}

/**
 * Reads the last live crossing of many evaluations, in one query: one probe each of the index
 * (device, geofence, after_ts DESC). The conditions on validity are those of `belongsTo`. The lower
 * bound is inside of the CASE: with two bounds the planner takes the index without the geofence.
 */
export async function readLast(
  client: pg.ClientBase,
  timing: TimingTable,
  requests: readonly LastRequest[],
): Promise<(LiveCrossing | null)[]> {
  if (requests.length === 0) return [];
  const { subject } = timing;
  const isSubject =
    subject === null
      ? 'asked.subject IS NULL'
      : `record.${quoted(subject.column)} IS NOT DISTINCT FROM asked.subject::${subject.type}`;
  const { rows } = await client.query<CrossingRow>(
    `SELECT asked.ord, found.*
       FROM unnest($1::int[], $2::text[], $3::text[], $4::text[],
                              $5::float8[], $6::float8[], $7::float8[])
            AS asked (ord, device, geofence, subject, valid_from, valid_to, until)
      CROSS JOIN LATERAL (
        SELECT ${columnsOf(timing)} FROM ${tableOf(timing)} AS record
         WHERE record.device = asked.device::${timing.deviceType}
           AND record.geofence = asked.geofence::${timing.geofenceType}
           AND record.after_ts <= to_timestamp(asked.until / 1000)
           AND ${isSubject}
           AND CASE WHEN record.method = 'ended' THEN record.at = to_timestamp(asked.valid_to / 1000)
                    ELSE record.after_ts >= to_timestamp(asked.valid_from / 1000)
                     AND record.after_ts < to_timestamp(asked.valid_to / 1000) END
           AND ${isLive}
         ORDER BY record.after_ts DESC, record.at DESC, record.direction DESC LIMIT 1) AS found`,
    [
      [...requests.keys()],
      requests.map(({ device }) => device),
      requests.map(({ geofence }) => geofence),
      requests.map((request) => request.subject),
      requests.map(({ from }) => from),
      requests.map(({ to }) => to),
      requests.map(({ until }) => until),
    ],
  );
  const found = requests.map((): LiveCrossing | null => null);
  for (const { ord, ...crossing } of rows) found[ord] = crossing;
  return found;
}

/**
 * Reads the geofences that a device has live crossings of, skipping from one to the next in the index
 * (device, geofence, after_ts DESC).
 */
export async function readGeofences(
  client: pg.ClientBase,
  timing: TimingTable,
  requests: readonly Omit<CrossingRequest, 'from'>[],
): Promise<GeofenceId[][]> {
  const probes = requests.flatMap(({ devices, to }, ord) =>
    devices.map((device) => ({ ord, device, to })),
  );
  if (probes.length === 0) return requests.map(() => []);
  const next = (beyond: string) => `
    SELECT record.geofence FROM ${tableOf(timing)} AS record
     WHERE record.device = asked.device::${timing.deviceType} AND ${isLive} ${beyond}
     ORDER BY record.geofence LIMIT 1`;
  const { rows } = await client.query<{ ord: number; geofence: GeofenceId }>(
    `SELECT asked.ord, named.geofence::text AS geofence
       FROM unnest($1::int[], $2::text[], $3::float8[]) AS asked (ord, device, until)
      CROSS JOIN LATERAL (
        WITH RECURSIVE skip AS (
          (${next('AND record.geofence IS NOT NULL')})
          UNION ALL
          SELECT (${next('AND record.geofence > skip.geofence')}) FROM skip
           WHERE skip.geofence IS NOT NULL)
        SELECT skip.geofence FROM skip
         WHERE skip.geofence IS NOT NULL AND EXISTS (
           SELECT FROM ${tableOf(timing)} AS record
            WHERE record.device = asked.device::${timing.deviceType}
              AND record.geofence = skip.geofence
              AND record.after_ts <= to_timestamp(asked.until / 1000) AND ${isLive})) AS named`,
    [probes.map(({ ord }) => ord), probes.map(({ device }) => device), probes.map(({ to }) => to)],
  );
  const found = requests.map((): GeofenceId[] => []);
  for (const { ord, geofence } of rows) found[ord]?.push(geofence);
  return found;
}

/** Only records of this service; those that a person added are never touched. */
export async function supersede(
  client: pg.ClientBase,
  timing: TimingTable,
  ids: readonly string[],
): Promise<number> {
  if (ids.length === 0) return 0;
  const { rowCount } = await client.query(
    `UPDATE ${tableOf(timing)} AS record SET superseded_at = now()
      WHERE record.id = ANY ($1::text[]::${timing.idType}[]) AND ${isLive}`,
    [[...ids]],
  );
  return rowCount ?? 0;
}

/** Inserts crossings; one whose record is there and superseded is live again. */
export async function insertCrossings(
  client: pg.ClientBase,
  timing: TimingTable,
  crossings: readonly KeyedCrossing[],
): Promise<{ readonly inserted: number; readonly revived: number }> {
  let [inserted, revived] = [0, 0];
  for (let start = 0; start < crossings.length; start += insertedAtATime) {
    const page = crossings.slice(start, start + insertedAtATime);
    const added = await insertPage(client, timing, page);
    inserted += added;
    if (added < page.length) revived += await revive(client, timing, page);
  }
  return { inserted, revived };
}

async function insertPage(
  client: pg.ClientBase,
  timing: TimingTable,
  page: readonly KeyedCrossing[],
): Promise<number> {
  const columns = insertedColumns(timing);
  const names = columns.map(({ name }) => quoted(name)).join(', ');
  const picked = columns.map(({ select }) => select).join(', ');
  const { rowCount } = await client.query(
    `INSERT INTO ${tableOf(timing)} (${names})
     SELECT ${picked}
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                              $7::float8[], $8::float8[], $9::float8[], $10::float8[], $11::float8[])
            AS found (id, device, geofence, subject, direction, method,
                      at, before_ts, after_ts, latitude, longitude)
     ON CONFLICT (id) DO NOTHING`,
    [
      page.map(({ id }) => id),
      page.map(({ device }) => device),
      page.map(({ geofence }) => geofence),
      page.map(({ subject }) => subject),
      page.map(({ direction }) => direction),
      page.map(({ method }) => method),
      page.map(({ at }) => at),
      page.map(({ beforeTs }) => beforeTs),
      page.map(({ afterTs }) => afterTs),
      page.map(({ latitude }) => latitude),
      page.map(({ longitude }) => longitude),
    ],
  );
  return rowCount ?? 0;
}

interface InsertedColumn {
  readonly name: string;
  readonly select: string;
}

function insertedColumns({
  idType,
  deviceType,
  geofenceType,
  subject,
  hasCoordinates,
  hasDateCreated,
}: TimingTable): InsertedColumn[] {
  const column = (name: string, select: string) => ({ name, select });
  const instant = (name: string) => column(name, `to_timestamp(found.${name} / 1000)`);
  return [
    column('id', `found.id::${idType}`),
    column('device', `found.device::${deviceType}`),
    column('geofence', `found.geofence::${geofenceType}`),
    ...(subject === null ? [] : [column(subject.column, `found.subject::${subject.type}`)]),
    column('direction', 'found.direction'),
    column('method', 'found.method'),
    column('source', `'processor'`),
    instant('at'),
    instant('before_ts'),
    instant('after_ts'),
    ...(hasCoordinates
      ? [column('latitude', 'found.latitude'), column('longitude', 'found.longitude')]
      : []),
    ...(hasDateCreated ? [column('date_created', 'now()')] : []),
  ];
}

async function revive(
  client: pg.ClientBase,
  timing: TimingTable,
  page: readonly KeyedCrossing[],
): Promise<number> {
  const { rowCount } = await client.query(
    `UPDATE ${tableOf(timing)} AS record SET superseded_at = NULL
      WHERE record.id = ANY ($1::text[]::${timing.idType}[])
        AND record.superseded_at IS NOT NULL AND record.source = 'processor'`,
    [page.map(({ id }) => id)],
  );
  return rowCount ?? 0;
}
