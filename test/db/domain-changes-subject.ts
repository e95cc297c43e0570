import type { Client } from 'pg';
import { type Changes, enqueueChanges } from '../../src/db/domain-changes.ts';
import { type LoadOptions, loadContract } from '../../src/db/domain-load.ts';
import { sessionStatement } from '../../src/db/session.ts';
import type { DomainContract, TimingTable } from '../../src/domain/contract.ts';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { connect, dayMs, migratedDatabase } from './positions.ts';

export const now = new Date(Date.UTC(2026, 10, 25, 12));
export const horizonMs = 30 * dayMs;
export const loadOptions: LoadOptions = {
  maxGeofences: 100_000,
  maxVertices: 5_000_000,
  recomputeHorizonMs: horizonMs,
};
export const timing: TimingTable = {
  schema: 'public',
  name: 'timing_records',
  idType: 'uuid',
  deviceType: 'uuid',
  geofenceType: 'uuid',
  subject: { column: 'vehicle', type: 'uuid' },
  hasCoordinates: true,
  hasDateCreated: true,
};

/** A time so many days from now. */
export const day = (days: number) => new Date(now.getTime() + days * dayMs);
export const earliest = day(-30);

export interface ChangesDatabase {
  readonly url: string;
  readonly client: Client;
  enqueue(change?: Partial<LoadOptions>): Promise<Changes>;
  /** What was enqueued since the last call, as device, from and to; null: infinity. */
  taken(): Promise<readonly (readonly [string, Date | null, Date | null])[]>;
  load(change?: Partial<LoadOptions>): Promise<DomainContract>;
}

/** Another session, with the settings of the service's sessions. */
export async function session(url: string): Promise<Client> {
  const client = await connect(url);
  await client.query(sessionStatement({ statementTimeoutMs: 60_000, lockTimeoutMs: 10_000 }));
  return client;
}

/** Migrated, with the collections and views of a fleet. */
export async function changesDatabase(): Promise<ChangesDatabase> {
  const { url } = await migratedDatabase();
  const client = await session(url);
  await createDirectus(client);
  return {
    url,
    client,
    enqueue: (change) => enqueueChanges(client, { ...loadOptions, ...change }, now),
    async taken() {
      const { rows } = await client.query<{ id: string; from: number; to: number }>(
        `DELETE FROM positions.outbox RETURNING device_id AS id,
           (extract(epoch FROM from_ts) * 1000)::float8 AS "from",
           (extract(epoch FROM to_ts) * 1000)::float8 AS "to"`,
      );
      const time = (ms: number) => (Number.isFinite(ms) ? new Date(ms) : null);
      return rows
        .map(({ id, from, to }) => [id, time(from), time(to)] as const)
        .toSorted(([a], [b]) => (a < b ? -1 : 1));
    },
    load: (change) => loadContract(client, timing, { ...loadOptions, ...change }, () => now),
  };
}

export const circle = { type: 'Point', coordinates: [25, 54] };
export const elsewhere = { type: 'Point', coordinates: [26, 54] };
