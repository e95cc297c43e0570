import pg from 'pg';
import type { TimingTable } from '../domain/contract.ts';
import type { DomainStore, DomainTransaction } from '../domain/ports.ts';
import {
  insertCrossings,
  readCrossings,
  readGeofences,
  readLast,
  supersede,
} from './domain-crossings.ts';
import {
  addToParked,
  compactOutbox,
  countUnknownDevices,
  parkDevice,
  putBack,
  readGround,
  readParked,
  readQueued,
  sampleQueue,
  takeRows,
} from './domain-outbox.ts';
import { areStored, readEdges, readFixes } from './domain-windows.ts';
import type { Database } from './pool.ts';

export interface DomainStoreOptions {
  /** DOMAIN_MIN_SATELLITES: fixes with fewer do not count. */
  readonly minSatellites: number;
}

/** The domain's database: each transaction on one connection of the domain's own pool. */
export function createDomainStore(
  database: Database,
  { minSatellites }: DomainStoreOptions,
): DomainStore {
  const alone = <Result>(work: (client: pg.PoolClient) => Promise<Result>) =>
    database.use((client) =>
      inTransaction(client, async () => ({ value: await work(client), isDone: true })),
    );
  return {
    async transaction(timing, work) {
      await database.use((client) =>
        inTransaction(client, async () => {
          const isDone = await work(transactionOn(client, timing, minSatellites));
          return { value: undefined, isDone };
        }),
      );
    },
    park: (device, attempts, error) =>
      alone((client) => parkDevice(client, device, attempts, error)),
    sample: (maxRows) => database.use((client) => sampleQueue(client, maxRows)),
    countUnknown: () => database.use(countUnknownDevices),
    compact: () => alone(compactOutbox),
  };
}

async function inTransaction<Result>(
  client: pg.PoolClient,
  work: () => Promise<{ readonly value: Result; readonly isDone: boolean }>,
): Promise<Result> {
  await client.query('BEGIN');
  try {
    const { value, isDone } = await work();
    await client.query(isDone ? 'COMMIT' : 'ROLLBACK');
    return value;
  } catch (error) {
    // Any other failure discards the connection (pool.ts), which rolls back too.
    if (error instanceof pg.DatabaseError) await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

function transactionOn(
  client: pg.PoolClient,
  timing: TimingTable,
  minSatellites: number,
): DomainTransaction {
  return {
    take: (request) => takeRows(client, request),
    ground: () => readGround(client),
    parked: (devices) => readParked(client, devices),
    addToParked: (ranges) => addToParked(client, ranges),
    readFixes: (requests, limit, ignoredOf) =>
      readFixes(client, requests, limit, { minSatellites, ignoredOf }),
    readEdges: (requests, ignoredOf) => readEdges(client, requests, { minSatellites, ignoredOf }),
    readCrossings: (requests) => readCrossings(client, timing, requests),
    readLast: (requests) => readLast(client, timing, requests),
    readGeofences: (requests) => readGeofences(client, timing, requests),
    areStored: (requests) => areStored(client, requests),
    supersede: (ids) => supersede(client, timing, ids),
    insert: (crossings) => insertCrossings(client, timing, crossings),
    putBack: (ranges) => putBack(client, ranges),
    queued: (devices) => readQueued(client, devices),
  };
}
