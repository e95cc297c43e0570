import type { DeviceId } from '../core/types.ts';
import { asDependencyError } from './errors.ts';
import type { Database } from './pool.ts';

/** Stored data of one device; times in epoch milliseconds. */
export interface DeviceView {
  readonly newest: {
    readonly ts: number;
    readonly ingestedAt: number;
    readonly attributes: unknown;
  } | null;
  /** The newest row with a fix. */
  readonly lastFix: {
    readonly ts: number;
    readonly latitude: number;
    readonly longitude: number;
  } | null;
  readonly rowsLastHour: number;
  readonly rowsLastDay: number;
  /** Median time from `ts` to `ingested_at` of the last day's rows; null without rows. */
  readonly medianLagMs: number | null;
}

interface NewestRow {
  readonly ts: number;
  readonly ingested_at: number;
  readonly attributes: unknown;
}

interface FixRow {
  readonly ts: number;
  readonly latitude: number;
  readonly longitude: number;
}

const epoch = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8`;

const newestStatement = `SELECT ${epoch('ts')} AS ts, ${epoch('ingested_at')} AS ingested_at, attributes
  FROM public.positions WHERE device_id = $1 ORDER BY public.positions.ts DESC LIMIT 1`;

// At most 30 days before the newest row: the search for a device without a fix must end.
const fixStatement = `SELECT ${epoch('ts')} AS ts, latitude, longitude FROM public.positions
  WHERE device_id = $1 AND fix AND public.positions.ts <= $2 AND public.positions.ts >= $2::timestamptz - INTERVAL '30 days'
  ORDER BY public.positions.ts DESC LIMIT 1`;

const countStatement = `SELECT count(*)::int AS day,
    count(*) FILTER (WHERE ts >= $2::timestamptz - INTERVAL '1 hour')::int AS hour,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ${epoch('ingested_at')} - ${epoch('ts')}) AS lag
  FROM public.positions WHERE device_id = $1 AND ts >= $2::timestamptz - INTERVAL '1 day' AND ts <= $2`;

/** @throws DependencyError */
export async function viewDevice(
  database: Database,
  device: DeviceId,
  nowMs: number,
): Promise<DeviceView> {
  const now = new Date(nowMs).toISOString();
  try {
    return await database.use(async (client) => {
      const newest = (await client.query<NewestRow>(newestStatement, [device])).rows[0] ?? null;
      const until = newest === null ? now : new Date(newest.ts).toISOString();
      const fix = (await client.query<FixRow>(fixStatement, [device, until])).rows[0] ?? null;
      const counted = await client.query<{ day: number; hour: number; lag: number | null }>(
        countStatement,
        [device, now],
      );
      const [counts] = counted.rows;
      return {
        newest: newest && {
          ts: newest.ts,
          ingestedAt: newest.ingested_at,
          attributes: newest.attributes,
        },
        lastFix: fix,
        rowsLastHour: counts?.hour ?? 0,
        rowsLastDay: counts?.day ?? 0,
        medianLagMs: counts?.lag ?? null,
      };
    });
  } catch (error) {
    throw asDependencyError(error);
  }
}
