import { setImmediate, setTimeout } from 'node:timers/promises';
import type pg from 'pg';
import { DependencyError } from '../core/types.ts';
import {
  ContractBrokenError,
  type ContractLimits,
  type DomainContract,
  type TimingTable,
} from '../domain/contract.ts';
import { type ContractBuilder, contractBuilder } from '../domain/contract-builder.ts';
import type {
  AssignmentViewRow,
  FormerDeviceRow,
  GeofenceViewRow,
  IgnoredViewRow,
} from '../domain/contract-rows.ts';
import {
  type ChangeOptions,
  countDifferences,
  enqueueChanges,
  hasIgnoredView,
  readVersion,
} from './domain-changes.ts';
import { readingViews } from './domain-read-fault.ts';
import { contractRows, formerDevices } from './domain-views.ts';
import { asDependencyError } from './errors.ts';

export type LoadOptions = ContractLimits & ChangeOptions;

/** An edit between the comparison and the snapshot starts the load again. */
const ATTEMPTS = 5;
const PAUSE_MS = 200;

/**
 * Loads geofences, assignments and ignored ranges in one snapshot, together with the version. What is
 * loaded is what `positions.domain_seen` holds at that version: content that nobody compared yet is
 * compared and enqueued first. So all instances that name a version have the same content, also when
 * an edit is undone before anybody polled.
 *
 * Rows come in pages by a cursor, and the event loop runs between slices of a few milliseconds.
 * @throws ContractBrokenError if a view cannot be read, or over the limits; DependencyError if the
 * database is not available or the views change faster than they are read
 */
export async function loadContract(
  client: pg.ClientBase,
  timing: TimingTable,
  options: LoadOptions,
  now: () => Date = () => new Date(),
): Promise<DomainContract> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const contract = await loadSeen(client, timing, options);
    if (contract !== null) return contract;
    const { isBusy } = await enqueueChanges(client, options, now());
    if (isBusy) await setTimeout(PAUSE_MS);
  }
  throw new DependencyError(
    'database',
    'unavailable',
    'CONTRACT_CHANGING',
    'database: the views of processor_contract change while they are read; retried at the next poll',
  );
}

/** Null: the views hold something that was not compared yet. */
async function loadSeen(
  client: pg.ClientBase,
  timing: TimingTable,
  options: LoadOptions,
): Promise<DomainContract | null> {
  const builder = contractBuilder(timing, options);
  const slices = timeSlices();
  let version: number;
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    version = await readVersion(client);
    if ((await countDifferences(client)) > 0) {
      await client.query('ROLLBACK');
      return null;
    }
    await readRows(client, builder, slices);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    if (error instanceof ContractBrokenError) throw error;
    throw asDependencyError(error);
  }
  return await runInSlices(builder.finish(version));
}

export interface ContractReading {
  readonly contract: DomainContract;
  /** Rows of the views that were not compared yet: the worker enqueues their ranges at its next poll. */
  readonly unseen: number;
}

/**
 * Reads what the views hold in the snapshot of the caller's transaction, and writes nothing: for
 * commands, which must not enqueue. @throws as `loadContract`
 */
export async function readContract(
  client: pg.ClientBase,
  timing: TimingTable,
  limits: ContractLimits,
): Promise<ContractReading> {
  try {
    const version = await readVersion(client);
    const unseen = await countDifferences(client);
    const builder = contractBuilder(timing, limits);
    await readRows(client, builder, timeSlices());
    return { contract: await runInSlices(builder.finish(version)), unseen };
  } catch (error) {
    if (error instanceof ContractBrokenError) throw error;
    throw asDependencyError(error);
  }
}

async function readRows(
  client: pg.ClientBase,
  builder: ContractBuilder,
  slices: Slices,
): Promise<void> {
  const view = (name: keyof typeof contractRows) =>
    [`processor_contract.${name}`, contractRows[name]] as const;
  await readPages<GeofenceViewRow>(client, ...view('geofences_v1'), builder.addGeofence, slices);
  await readPages<AssignmentViewRow>(client, ...view('devices_v1'), builder.addAssignment, slices);
  await readPages<FormerDeviceRow>(client, null, formerDevices, builder.addFormerDevice, slices);
  if (!(await hasIgnoredView(client))) return;
  await readPages<IgnoredViewRow>(client, ...view('ignored_v1'), builder.addIgnored, slices);
}

/** Shapes are at most 1 MB each, so a page of them is at most this many megabytes. */
const PAGE_ROWS = 64;

/** @param object the view that a failure is the fault of; null: a table of this service */
async function readPages<Row extends pg.QueryResultRow>(
  client: pg.ClientBase,
  object: string | null,
  query: string,
  add: (row: Row) => void,
  slices: Slices,
): Promise<void> {
  const read = async (sql: string): Promise<Row[]> => {
    const { rows } =
      object === null
        ? await client.query<Row>(sql)
        : await readingViews(object, () => client.query<Row>(sql));
    return rows;
  };
  await read(`DECLARE contract_rows NO SCROLL CURSOR FOR ${query}`);
  for (;;) {
    const rows = await read(`FETCH ${PAGE_ROWS} FROM contract_rows`);
    for (const row of rows) {
      add(row);
      await slices.pause();
    }
    if (rows.length < PAGE_ROWS) break;
  }
  await client.query('CLOSE contract_rows');
}

interface Slices {
  /** Lets others run where this slice has taken long enough. */
  pause(): Promise<void>;
}

const SLICE_MS = 5;

function timeSlices(): Slices {
  let since = performance.now();
  return {
    async pause() {
      if (performance.now() - since < SLICE_MS) return;
      await setImmediate();
      since = performance.now();
    },
  };
}

async function runInSlices<Result>(steps: Generator<void, Result>): Promise<Result> {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    await setImmediate();
  }
}
