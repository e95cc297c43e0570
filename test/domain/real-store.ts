/** The worker on a real database, with geofences that a test sets without the views. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { DeviceId } from '../../src/core/types.ts';
import { createDomainStore } from '../../src/db/domain-store.ts';
import { type MigrateOptions, migrate } from '../../src/db/migrator.ts';
import { openDatabase } from '../../src/db/pool.ts';
import type { BatchLimits } from '../../src/domain/batch-context.ts';
import { type Attempt, type Batches, createBatches } from '../../src/domain/batches.ts';
import type { DomainContract, TimingTable } from '../../src/domain/contract.ts';
import type { Geofence } from '../../src/domain/geofence.ts';
import { indexGeofences } from '../../src/domain/geofence-index.ts';
import type {
  BatchFailure,
  BatchReport,
  DomainEvents,
  DomainStore,
} from '../../src/domain/ports.ts';
import type {
  Assignment,
  DomainOptions,
  Fix,
  KeyedCrossing,
  Validity,
} from '../../src/domain/types.ts';
import type { WorkerOptions, WorkerParts } from '../../src/domain/worker-parts.ts';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { dayMs, migrateOptions, migrations, openClient, silent } from '../db/positions.ts';
import type { FreshDatabase } from '../setup/database.ts';

export const fleetTiming: TimingTable = {
  schema: 'public',
  name: 'timing_records',
  idType: 'uuid',
  deviceType: 'uuid',
  geofenceType: 'uuid',
  subject: { column: 'vehicle', type: 'uuid' },
  hasCoordinates: true,
  hasDateCreated: true,
};

export const noEvents: DomainEvents = {
  batch() {},
  failed() {},
  recovered() {},
  parked() {},
  contract() {},
  loaded() {},
  changed() {},
  sampled() {},
  compacted() {},
  waiting() {},
};

export interface DomainDatabase {
  readonly url: string;
  readonly client: pg.Client;
  readonly store: DomainStore;
  close(): Promise<void>;
}

/** A migrated database with the outbox filled by positions, and the collections of a fleet. */
export async function openDomainDatabase(
  fresh: () => Promise<FreshDatabase>,
  table: Partial<Omit<MigrateOptions, 'url'>> = {},
): Promise<DomainDatabase> {
  const { url, drop } = await fresh();
  const domain = { enabled: true, recomputeHorizonMs: 30 * dayMs };
  await migrate(migrations, migrateOptions(url, { domain, ...table }), silent);
  const client = await openClient(url);
  await createDirectus(client);
  const database = openDatabase(
    {
      url,
      tls: null,
      applicationName: 'processor:test:domain',
      size: 4,
      connectTimeoutMs: 5_000,
      statementTimeoutMs: 60_000,
      lockTimeoutMs: 60_000,
      deadlineMs: 90_000,
    },
    silent,
  );
  return {
    url,
    client,
    store: createDomainStore(database, { minSatellites: 4 }),
    async close() {
      await database.close(5_000);
      await client.end();
      await drop();
    },
  };
}

/** Stores fixes as the writer does: a row that is there stays as it is. */
export async function storeFixes(
  client: pg.ClientBase,
  device: DeviceId,
  fixes: readonly Fix[],
  satellites = 9,
): Promise<void> {
  await client.query(
    `INSERT INTO public.positions (device_id, ts, latitude, longitude, altitude, angle, speed,
       satellites, priority, fix, codec, attributes)
     SELECT $1, to_timestamp(ts / 1000), latitude, longitude, 0, 0, 0, $5::int, 0, $5::int > 0, '8', '{}'
       FROM unnest($2::float8[], $3::float8[], $4::float8[]) AS fix (ts, latitude, longitude)
     ON CONFLICT DO NOTHING`,
    [
      device,
      fixes.map(({ ts }) => ts),
      fixes.map(({ latitude }) => latitude),
      fixes.map(({ longitude }) => longitude),
      satellites,
    ],
  );
}

/** What a contract says, to be replaced as a whole by an edit. */
export interface Rules {
  readonly geofences: readonly Geofence[];
  readonly assignmentsOf: (device: DeviceId) => readonly Assignment[];
  readonly ignoredOf: (device: DeviceId) => readonly Validity[];
}

export function contractOf(
  { geofences, assignmentsOf, ignoredOf }: Rules,
  version: number,
  timing: TimingTable = fleetTiming,
): DomainContract {
  return {
    version,
    index: indexGeofences(geofences),
    refused: [],
    refusedAssignments: 0,
    vertices: 0,
    assignmentsOf,
    ignoredOf,
    timing,
  };
}

export const manyRows: BatchLimits = {
  rangeRows: 5_000,
  layerRows: 50_000,
  layers: 8,
  extensionRows: 50_000,
};

export const fewRows: BatchLimits = { rangeRows: 3, layerRows: 9, layers: 2, extensionRows: 4 };

/** Attempts after which a queue that is not empty counts as an endless loop. */
const maxTurns = 1_000;

export interface TestWorker {
  next(): Promise<Attempt>;
  /** Until nothing is left that this worker may take. */
  drain(): Promise<void>;
  readonly reports: readonly BatchReport[];
  readonly failures: readonly BatchFailure[];
  readonly parked: readonly DeviceId[];
}

export interface TestWorkerOptions extends DomainOptions {
  readonly store: DomainStore;
  /** The newest contract, for a reload. */
  readonly newest: () => DomainContract;
  readonly limits?: BatchLimits;
  readonly change?: Partial<WorkerOptions>;
  readonly parts?: Partial<WorkerParts>;
}

export function createTestWorker(options: TestWorkerOptions): TestWorker {
  const { store, newest, limits = manyRows, maxHopMs, maxSilenceMs } = options;
  const reports: BatchReport[] = [];
  const failures: BatchFailure[] = [];
  const parked: DeviceId[] = [];
  let contract = newest();
  const batches: Batches = createBatches(
    {
      maxHopMs,
      maxSilenceMs,
      retentionMs: null,
      recomputeHorizonMs: 30 * dayMs,
      limits,
      batchDevices: 500,
      idleMs: 1,
      backoff: { minMs: 1, maxMs: 2 },
      parkAfter: 5,
      ...options.change,
    },
    {
      store,
      events: {
        ...noEvents,
        batch: (report) => reports.push(report),
        failed: (failure) => failures.push(failure),
        parked: (device) => parked.push(device),
      },
      contract: () => contract,
      reload() {
        contract = newest();
        return Promise.resolve();
      },
      meaningOf: () => ({ kind: 'unavailable', code: 'TEST', isTimeout: false }),
      isIngestionFailing: () => false,
      ...options.parts,
    },
    new AbortController().signal,
  );
  const current = options.parts?.contract ?? (() => contract);
  const next = () => batches.next(current() ?? contract);
  return {
    next,
    async drain() {
      for (let turn = 0; turn < maxTurns; turn += 1) {
        const { outcome } = await next();
        if (outcome === 'idle') return;
      }
      throw new Error('the outbox does not become empty', { cause: failures.at(-1)?.error });
    },
    reports,
    failures,
    parked,
  };
}

/** The live timing records of a device, oldest first, with everything that they say. */
export async function liveRecords(
  client: pg.ClientBase,
  device: string,
): Promise<readonly KeyedCrossing[]> {
  const { rows } = await client.query<KeyedCrossing>(
    `SELECT id::text, device::text, geofence::text, vehicle::text AS subject, direction, method,
            (extract(epoch FROM at) * 1000)::float8 AS at,
            (extract(epoch FROM before_ts) * 1000)::float8 AS "beforeTs",
            (extract(epoch FROM after_ts) * 1000)::float8 AS "afterTs",
            latitude::float8, longitude::float8
       FROM public.timing_records
      WHERE device = $1 AND superseded_at IS NULL AND source = 'processor'
      ORDER BY after_ts, at, direction, id`,
    [device],
  );
  return rows;
}

export async function outboxRows(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ rows: number }>(
    'SELECT count(*)::int AS rows FROM positions.outbox',
  );
  return rows[0]?.rows ?? 0;
}

/** Queues a range as a change of geofences does, and raises the version with it. */
export async function enqueueChange(
  client: pg.ClientBase,
  device: DeviceId,
  { from, to }: Validity,
): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    `WITH queued AS (
       INSERT INTO positions.outbox (device_id, from_ts, to_ts)
       VALUES ($1, to_timestamp($2::float8 / 1000), to_timestamp($3::float8 / 1000)))
     UPDATE positions.domain_version SET version = version + 1 RETURNING version::float8 AS version`,
    [device, from, to],
  );
  return rows[0]?.version ?? 0;
}

/** Rows that timing records refer to. */
export async function insertKeys(
  client: pg.ClientBase,
  table: 'geofences' | 'vehicles',
  count: number,
): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  await client.query(`INSERT INTO public.${table} (id) SELECT unnest($1::uuid[])`, [ids]);
  return ids;
}
