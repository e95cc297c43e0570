import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { DrivingDevice } from '../src/simulator/crossing-ledger.ts';
import { geofenceFileOf } from '../src/simulator/geofence-file.ts';
import { createDirectus } from '../tools/domain-fixture.ts';
import { insertDrives } from '../tools/drive-fixture.ts';
import { askPostgres } from '../tools/servers/ask.ts';
import type { CrossingRow, GeofenceRow, PointRow, StoredDrive } from './drive-picture.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const QUERY_TIMEOUT_MS = 60_000;
const PAUSE_MS = 100;
/** So long may the outbox not become shorter. */
const STUCK_MS = 60_000;

/**
 * Creates the collections that Directus would have, with the geofences of the fleet.
 * @returns whether it did; a database that has a table of one of the names is left alone
 */
export async function prepareDomain(
  url: string,
  driving: readonly DrivingDevice[],
): Promise<boolean> {
  const client = await connected(url);
  try {
    if (await hasCollections(client)) return false;
    await client.query('BEGIN');
    await createDirectus(client);
    await insertDrives(client, geofenceFileOf(driving));
    await client.query('COMMIT');
    return true;
  } finally {
    // Ends the transaction too, if an error came first; the error counts.
    await client.end().catch(() => {});
  }
}

async function hasCollections(client: Client): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = 'processor_contract'
         OR n.nspname = 'public' AND c.relname IN
            ('devices', 'vehicles', 'device_assignments', 'geofences', 'ignored_ranges', 'timing_records')`,
  );
  return rowCount !== 0;
}

async function connected(url: string): Promise<Client> {
  const client = new Client({
    connectionString: url,
    application_name: 'processor:demo',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  });
  // A connection that breaks also rejects the query; unheard, the event would end the process.
  client.on('error', () => {});
  await client.connect();
  return client;
}

interface Waiting {
  readonly databaseUrl: string;
  readonly service: { hasEnded(): boolean };
  readonly signal: AbortSignal;
}

/**
 * Waits until all timing records are written: the outbox is empty and no device is parked.
 * @throws when a device is parked, nothing is taken for 60 s, the service ends, or the signal aborts
 */
export async function untilComputed({ databaseUrl, service, signal }: Waiting): Promise<void> {
  let least = Number.POSITIVE_INFINITY;
  let since = performance.now();
  for (;;) {
    signal.throwIfAborted();
    if (service.hasEnded()) throw new Error('the service ended before all crossings were found');
    const queue = await askPostgres<{ rows: number; parked: number }>(
      databaseUrl,
      `SELECT (SELECT count(*)::int4 FROM positions.outbox) AS rows,
              (SELECT count(*)::int4 FROM positions.outbox_parked) AS parked`,
    );
    if (queue === undefined || queue.parked > 0) {
      throw new Error(`${queue?.parked ?? 'unknown'} devices are parked; see the service's log`);
    }
    if (queue.rows === 0) return;
    if (queue.rows < least) {
      least = queue.rows;
      since = performance.now();
    }
    if (performance.now() - since > STUCK_MS) {
      throw new Error(
        `the outbox did not get shorter for ${STUCK_MS / 1000} s (${queue.rows} rows)`,
      );
    }
    await sleep(PAUSE_MS);
  }
}

/** What one drive left: its positions with a fix, the geofences and the live timing records. */
export async function readDrive(url: string): Promise<StoredDrive> {
  const client = await connected(url);
  try {
    const fixes = await client.query<PointRow>(
      'SELECT latitude, longitude FROM public.positions WHERE fix ORDER BY ts',
    );
    const geofences = await client.query<GeofenceRow>(
      'SELECT name, shape, radius_m AS radius FROM public.geofences ORDER BY name',
    );
    const crossings = await client.query<CrossingRow>(
      `SELECT fence.name AS geofence, record.direction, record.method,
              record.latitude::float8 AS latitude, record.longitude::float8 AS longitude,
              to_char(record.at AT TIME ZONE 'UTC', 'HH24:MI:SS.FF1') AS at
         FROM public.timing_records AS record
         JOIN public.geofences AS fence ON fence.id = record.geofence
        WHERE record.superseded_at IS NULL ORDER BY record.at, record.direction`,
    );
    return { fixes: fixes.rows, geofences: geofences.rows, crossings: crossings.rows };
  } finally {
    await client.end().catch(() => {});
  }
}
