/** A fleet in Directus' collections, the real contract of its views, and the worker. */
import type pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import type { DeviceId } from '../../src/core/types.ts';
import { contractWatch } from '../../src/db/domain-watch.ts';
import type { BatchLimits } from '../../src/domain/batch-context.ts';
import type { DomainContract } from '../../src/domain/contract.ts';
import type { DomainStore } from '../../src/domain/ports.ts';
import type { Fix, KeyedCrossing } from '../../src/domain/types.ts';
import type { WorkerOptions } from '../../src/domain/worker-parts.ts';
import { meaningOf } from '../../src/service/domain-parts.ts';
import {
  insertAssignment,
  insertDevice,
  insertGeofence,
  insertVehicle,
} from '../../tools/domain-fixture.ts';
import { dayMs, deviceId } from '../db/positions.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';
import {
  createTestWorker,
  liveRecords,
  manyRows,
  openDomainDatabase,
  outboxRows,
  storeFixes,
  type TestWorker,
} from './real-store.ts';
import { squareAt } from './road.ts';

export interface FleetOptions {
  readonly fresh?: () => Promise<FreshDatabase>;
  readonly limits?: BatchLimits;
  readonly change?: Partial<WorkerOptions>;
  /** How the migrator makes the table. */
  readonly table?: Parameters<typeof openDomainDatabase>[1];
}

/** A device, its IMEI and its vehicle. */
export interface FleetDevice {
  readonly imei: DeviceId;
  readonly device: string;
  readonly vehicle: string;
}

export interface Fleet {
  readonly client: pg.Client;
  readonly store: DomainStore;
  readonly worker: TestWorker;
  readonly contract: () => DomainContract;
  /** Loads the contract, and queues what its edits affect. */
  load(): Promise<void>;
  /** The same, and computes what is queued. */
  sync(): Promise<void>;
  add(number: number, validFrom?: Date): Promise<FleetDevice>;
  /** Stores fixes and computes them. */
  drive(imei: DeviceId, fixes: readonly Fix[]): Promise<void>;
  fence(metres: number, change?: Partial<Parameters<typeof insertGeofence>[1]>): Promise<string>;
  records(device: string): Promise<readonly KeyedCrossing[]>;
  /** `direction method` and the time within `startTs`, in metres of a drive of 10 m a second. */
  story(device: string, startTs: number): Promise<readonly string[]>;
}

/** Older than what the tests store, and within the horizon. */
export const longAgo = new Date(Date.now() - 25 * dayMs);

const limits = { maxGeofences: 10_000, maxVertices: 100_000 };
const timingTable = { schema: 'public', name: 'timing_records' };

/** Call it inside a test: what it opens is closed with the test. */
export async function openFleet(options: FleetOptions = {}): Promise<Fleet> {
  const database = await openDomainDatabase(options.fresh ?? freshDatabase, options.table);
  onTestFinished(() => database.close());
  const { client, store } = database;
  const watch = contractWatch({
    ...limits,
    recomputeHorizonMs: 30 * dayMs,
    timingTable,
    subjectColumn: 'vehicle',
  });
  let current: DomainContract | null = null;

  async function load(): Promise<void> {
    const turn = await watch.turn(client);
    if (!turn.ok) throw new Error(JSON.stringify(turn.faults));
    current = turn.contract;
  }
  function contract(): DomainContract {
    if (current === null) throw new RangeError('the contract is not loaded');
    return current;
  }
  await load();
  const worker = createTestWorker({
    maxHopMs: 120_000,
    maxSilenceMs: 30 * dayMs,
    store,
    newest: contract,
    limits: options.limits ?? manyRows,
    change: options.change ?? {},
    parts: { meaningOf, reload: load, contract },
  });

  async function sync(): Promise<void> {
    await load();
    await worker.drain();
    expect(await outboxRows(client)).toBe(0);
  }

  return {
    client,
    store,
    worker,
    contract,
    load,
    sync,
    async add(number, validFrom = longAgo) {
      const imei = deviceId(number);
      const device = await insertDevice(client, imei);
      const vehicle = await insertVehicle(client, `vehicle ${number}`);
      await insertAssignment(client, device, vehicle, { validFrom });
      return { imei, device, vehicle };
    },
    async drive(imei, fixes) {
      await storeFixes(client, imei, fixes);
      await sync();
    },
    fence: (metres, change = {}) =>
      insertGeofence(client, { shape: squareAt(metres), marginM: 0, ...change }),
    records: (device) => liveRecords(client, device),
    async story(device, startTs) {
      const records = await liveRecords(client, device);
      return records.map(({ direction, method, at }) => {
        return `${direction} ${method} ${Math.round((at - startTs) / 100)}`;
      });
    },
  };
}
