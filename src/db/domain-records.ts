import pg from 'pg';
import type { DeviceId } from '../core/types.ts';
import type { TimingTable } from '../domain/contract.ts';
import type { DeviceKey, Direction, Fix, GeofenceId, Method, SubjectKey } from '../domain/types.ts';

type Client = Pick<pg.ClientBase, 'query'>;

/** A row of the table of timing records, as an operator or `domain verify` reads it. */
export interface TimingRecord {
  readonly id: string;
  readonly device: DeviceKey;
  readonly geofence: GeofenceId;
  readonly subject: SubjectKey | null;
  readonly direction: Direction;
  readonly method: Method;
  /** Times in epoch milliseconds. */
  readonly at: number;
  readonly beforeTs: number | null;
  readonly afterTs: number;
  readonly source: string;
  readonly supersededAt: number | null;
}

const ms = (column: string) => `round(extract(epoch FROM ${column}) * 1000)::float8`;

function select({ schema, name, subject, deviceType }: TimingTable, more: string): string {
  const subjectText = subject === null ? 'NULL' : pg.escapeIdentifier(subject.column);
  return `
    SELECT id::text, device::text, geofence::text, ${subjectText}::text AS subject, direction, method,
           ${ms('at')} AS at, ${ms('before_ts')} AS "beforeTs", ${ms('after_ts')} AS "afterTs",
           source, ${ms('superseded_at')} AS "supersededAt"
      FROM ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}
     WHERE device = ANY ($1::text[]::${deviceType}[]) AND after_ts > to_timestamp($2::float8 / 1000)
       AND after_ts <= to_timestamp($3::float8 / 1000) ${more}`;
}

/** Live timing records of the service whose hop ends in (from, to]. */
export async function readLiveRecords(
  client: Client,
  timing: TimingTable,
  devices: readonly DeviceKey[],
  { from, to }: { readonly from: number; readonly to: number },
): Promise<TimingRecord[]> {
  const { rows } = await client.query<TimingRecord>(
    select(timing, `AND superseded_at IS NULL AND source = 'processor'`),
    [devices, from, to],
  );
  return rows;
}

/** The last live timing record of each geofence and subject whose hop ends at or before `until`. */
export async function readLastRecords(
  client: Client,
  timing: TimingTable,
  devices: readonly DeviceKey[],
  until: number,
): Promise<TimingRecord[]> {
  const { rows } = await client.query<TimingRecord>(
    `SELECT DISTINCT ON (device, geofence, subject) * FROM (
       ${select(timing, `AND superseded_at IS NULL AND source = 'processor'`)}) AS live
      ORDER BY device, geofence, subject, "afterTs" DESC, at DESC, direction DESC`,
    [devices, -Infinity, until],
  );
  return rows;
}

/** Timing records of a device, newest first; also those that people added. */
export async function readNewestRecords(
  client: Client,
  timing: TimingTable,
  devices: readonly DeviceKey[],
  { from, to, limit, isLive }: RecordRequest,
): Promise<TimingRecord[]> {
  const more = `${isLive ? 'AND superseded_at IS NULL' : ''} ORDER BY at DESC, direction LIMIT $4`;
  const values = [devices, from, to, limit];
  const { rows } = await client.query<TimingRecord>(select(timing, more), values);
  return rows;
}

export interface RecordRequest {
  readonly from: number;
  readonly to: number;
  readonly limit: number;
  /** Without those that are superseded. */
  readonly isLive: boolean;
}

/**
 * Usable fixes of a device with `ts` in (after, to], oldest first; fixes of ignored ranges are among
 * them. Written apart from the worker's statement, because `domain verify` is to find its faults.
 */
export async function readUsableFixes(
  client: Client,
  device: DeviceId,
  { after, to, limit, minSatellites, order }: FixRequest,
): Promise<Fix[]> {
  const { rows } = await client.query<Fix>(
    `SELECT ${ms('ts')} AS ts, latitude, longitude FROM public.positions
      WHERE device_id = $1 AND ts > to_timestamp($2::float8 / 1000)
        AND ts <= to_timestamp($3::float8 / 1000)
        AND fix AND satellites >= $4 AND latitude IS NOT NULL
      ORDER BY ts ${order === 'oldest_first' ? 'ASC' : 'DESC'} LIMIT $5`,
    [device, after, to, minSatellites, limit],
  );
  return rows;
}

export interface FixRequest {
  /** Epoch milliseconds; infinite: no bound. */
  readonly after: number;
  readonly to: number;
  readonly limit: number;
  readonly minSatellites: number;
  readonly order: 'oldest_first' | 'newest_first';
}
