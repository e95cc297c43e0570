import type { DeviceId, DeviceState } from '../core/types.ts';
import { encodeAsciiText } from './binary-arrays.ts';
import { asDependencyError } from './errors.ts';
import type { Database } from './pool.ts';

// Both ends of the time range are bounded, so that the planner excludes the other chunks.
const lastPositions = `
SELECT requested.device_id,
       (extract(epoch FROM newest.ts) * 1000)::float8 AS last_ts,
       (extract(epoch FROM fixed.ts) * 1000)::float8 AS fix_ts,
       fixed.latitude, fixed.longitude
FROM pg_catalog.unnest($1::text[]) AS requested (device_id)
CROSS JOIN LATERAL (
  SELECT ts FROM public.positions
  WHERE device_id = requested.device_id AND ts >= $2 AND ts <= $3
  ORDER BY ts DESC LIMIT 1
) AS newest
LEFT JOIN LATERAL (
  SELECT ts, latitude, longitude FROM public.positions
  WHERE device_id = requested.device_id AND fix AND ts >= $2 AND ts <= $3
  ORDER BY ts DESC LIMIT 1
) AS fixed ON true`;

interface LastPosition {
  readonly device_id: DeviceId;
  readonly last_ts: number;
  readonly fix_ts: number | null;
  readonly latitude: number | null;
  readonly longitude: number | null;
}

export type Rehydrate = (
  devices: readonly DeviceId[],
  range: { readonly fromMs: number; readonly toMs: number },
) => Promise<Map<DeviceId, DeviceState>>;

/**
 * Creates a function that reads the last stored positions of many devices in one query.
 * A device without rows in the range is absent from the result.
 * @throws DependencyError
 */
export function createRehydrate(database: Database): Rehydrate {
  return async (devices, { fromMs, toMs }) => {
    try {
      const { rows } = await database.use((client) =>
        client.query<LastPosition>(lastPositions, [
          encodeAsciiText(devices, (device) => device),
          new Date(fromMs).toISOString(),
          new Date(toMs).toISOString(),
        ]),
      );
      return new Map(rows.map((row) => [row.device_id, toState(row)]));
    } catch (error) {
      throw asDependencyError(error);
    }
  };
}

function toState(row: LastPosition): DeviceState {
  const { fix_ts: ts, latitude, longitude } = row;
  const lastFix =
    ts === null || latitude === null || longitude === null ? null : { ts, latitude, longitude };
  return { lastTs: row.last_ts, lastFix };
}
