import type { ExpectedCrossings } from './crossing-ledger.ts';
import type { ExpectedCrossing } from './expected-crossings.ts';

/** A live timing record that the service wrote. */
export interface StoredCrossing {
  /** IMEI. */
  readonly device: string;
  readonly geofence: string;
  readonly direction: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface CrossingSource {
  /** Live timing records of the service of these devices, in pages of any order. */
  crossings(devices: readonly string[]): AsyncIterable<readonly StoredCrossing[]>;
}

export interface CrossingCheck {
  expected: number;
  /** Expected crossings that have their timing record. */
  found: number;
  missing: number;
  /** Timing records of the run's geofences that nothing explains; a second one for a crossing too. */
  extra: number;
  /** The first differences, in words. */
  readonly problems: string[];
}

const maxProblems = 20;

export function areCrossingsClean({ missing, extra }: CrossingCheck): boolean {
  return missing === 0 && extra === 0;
}

/** The check as a single line. */
export function formatCrossings({ expected, found, missing, extra }: CrossingCheck): string {
  return `crossings expected=${expected} found=${found} missing=${missing} extra=${extra}`;
}

/**
 * Compares timing records with the crossings of the drives: each required one has exactly one record
 * within its time, and every record of the run's geofences has its crossing.
 * @param devices IMEIs of the whole run, so that records of devices without a crossing are seen
 */
export async function checkCrossings(
  { crossings, geofences }: ExpectedCrossings,
  devices: readonly string[],
  source: CrossingSource,
): Promise<CrossingCheck> {
  const stored = await storedBySeries(source, devices, geofences);
  const check: CrossingCheck = { expected: 0, found: 0, missing: 0, extra: 0, problems: [] };
  // Required ones first: one that may be found must not take the record of one that must.
  for (const crossing of crossings.toSorted(byNeed)) {
    const isFound = take(stored.get(seriesOf(crossing)), crossing);
    if (!crossing.isRequired) continue;
    check.expected += 1;
    if (isFound) check.found += 1;
    else note(check, 'missing', describe(crossing, crossing.earliest));
  }
  for (const left of stored.values()) {
    for (const one of left) note(check, 'extra', describe(one, one.at));
  }
  return check;
}

function byNeed(a: ExpectedCrossing, b: ExpectedCrossing): number {
  return Number(b.isRequired) - Number(a.isRequired) || a.earliest - b.earliest;
}

/** By device, geofence and direction, oldest first. */
async function storedBySeries(
  source: CrossingSource,
  devices: readonly string[],
  geofences: ReadonlySet<string>,
): Promise<Map<string, StoredCrossing[]>> {
  const series = new Map<string, StoredCrossing[]>();
  for await (const page of source.crossings(devices)) {
    for (const one of page) {
      if (!geofences.has(one.geofence)) continue;
      const known = series.get(seriesOf(one)) ?? [];
      series.set(seriesOf(one), known);
      known.push(one);
    }
  }
  for (const known of series.values()) known.sort((a, b) => a.at - b.at);
  return series;
}

function seriesOf({ device, geofence, direction }: Omit<StoredCrossing, 'at'>): string {
  return `${device}/${geofence}/${direction}`;
}

function take(
  stored: StoredCrossing[] | undefined,
  { earliest, latest }: ExpectedCrossing,
): boolean {
  const at = stored?.findIndex((one) => one.at >= earliest && one.at <= latest) ?? -1;
  if (at === -1) return false;
  stored?.splice(at, 1);
  return true;
}

function note(check: CrossingCheck, what: 'missing' | 'extra', words: string): void {
  check[what] += 1;
  if (check.problems.length < maxProblems) check.problems.push(`${what}: ${words}`);
}

function describe({ device, geofence, direction }: Omit<StoredCrossing, 'at'>, at: number): string {
  return `${direction} of geofence ${geofence} by ${device} at ${new Date(at).toISOString()}`;
}
