import type { Assignment, DomainOptions } from '../src/domain/types.ts';
import type { SimulatedGeofence } from '../src/simulator/circuit-geofences.ts';
import {
  areCrossingsClean,
  checkCrossings,
  formatCrossings,
} from '../src/simulator/crossing-check.ts';
import type { SimulatedEntry } from '../src/simulator/entry.ts';
import { eventually } from '../tools/service.ts';
import type { Api } from './api.ts';
import { ask } from './database.ts';
import { countRows, crossingsOf, type Drive } from './drive.ts';
import { evaluated } from './owner.ts';
import {
  crossingSource,
  derivedLines,
  linesOf,
  liveRecords,
  type TimingRecord,
} from './records.ts';

/** What the owner has entered, and where the positions are. */
export interface Situation {
  readonly api: Api;
  /** Of a role that reads positions. */
  readonly url: string;
  readonly geofences: readonly SimulatedGeofence[];
  readonly assignments: ReadonlyMap<string, Assignment>;
  readonly options: DomainOptions;
}

const SETTLE_MS = 300_000;

/** Waits until every position of the entries is stored. */
export async function untilStored(
  { url }: Situation,
  entries: readonly SimulatedEntry[],
): Promise<void> {
  const wanted = countRows(entries);
  const stored = async () => {
    const rows = await ask<{ count: number }>(
      url,
      'SELECT count(*)::int AS count FROM public.positions',
    );
    return rows[0]?.count === wanted ? true : undefined;
  };
  await eventually(`${wanted} positions are stored`, stored, SETTLE_MS);
}

/**
 * Waits until the API answers exactly the timing records that the stored positions give by
 * definition; at least one.
 */
export async function untilDerived(situation: Situation): Promise<readonly TimingRecord[]> {
  const wanted = await derivedLines({ ...situation, geofences: evaluated(situation.geofences) });
  if (wanted.length === 0)
    throw new Error('nothing drives through a geofence; choose another seed');
  let records: readonly TimingRecord[] = [];
  const isDone = async () => {
    records = await liveRecords(situation.api);
    return linesOf(records).join('\n') === wanted.join('\n') ? true : undefined;
  };
  try {
    await eventually(`${wanted.length} timing records`, isDone, SETTLE_MS);
  } catch (cause) {
    throw new Error(differences(wanted, linesOf(records)), { cause });
  }
  return records;
}

function differences(wanted: readonly string[], found: readonly string[]): string {
  const missing = wanted.filter((line) => !found.includes(line));
  const extra = found.filter((line) => !wanted.includes(line));
  const first = [missing[0] ?? '', extra[0] ?? ''].join(' instead of ');
  return `${missing.length} records are missing and ${extra.length} are unexpected: ${first}`;
}

/** Compares with the drives' own timeline. @returns the account in one line */
export async function compareWithDrive(
  drive: Drive,
  entries: readonly SimulatedEntry[],
  records: readonly TimingRecord[],
): Promise<string> {
  const imeis = drive.devices.map(({ deviceId }) => deviceId);
  const check = await checkCrossings(crossingsOf(drive, entries), imeis, crossingSource(records));
  const account = formatCrossings(check);
  if (!areCrossingsClean(check)) throw new Error(`${account}: ${check.problems[0]}`);
  return account;
}
