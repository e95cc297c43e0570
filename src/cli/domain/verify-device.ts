import type pg from 'pg';
import type { DeviceId } from '../../core/types.ts';
import {
  readLastRecords,
  readLiveRecords,
  readUsableFixes,
  type TimingRecord,
} from '../../db/domain-records.ts';
import { areStored } from '../../db/domain-windows.ts';
import type { DomainContract } from '../../domain/contract.ts';
import { crossingId } from '../../domain/crossing-id.ts';
import { type DerivationStart, derivation } from '../../domain/derivation.ts';
import { evaluationsOf } from '../../domain/evaluation.ts';
import { liveCrossings } from '../../domain/live-crossings.ts';
import { stateBefore } from '../../domain/recompute.ts';
import type { Crossing, DeviceKey, DomainOptions, Fix } from '../../domain/types.ts';
import { boxOf } from '../../domain/window.ts';

/** Epoch milliseconds, both included; `to` may be Infinity. */
export interface VerifyRange {
  readonly from: number;
  readonly to: number;
}

export interface VerifySettings extends DomainOptions {
  readonly minSatellites: number;
}

/** A timing record that should be there and is not, or the other way round. */
export interface Difference {
  readonly kind: 'missing' | 'extra';
  readonly imei: DeviceId;
  readonly id: string;
  readonly crossing: Pick<Crossing, 'geofence' | 'direction' | 'method' | 'at' | 'afterTs'>;
}

export interface DeviceReport {
  readonly fixes: number;
  readonly unchanged: number;
  readonly missing: number;
  readonly extra: number;
  /** Live timing records that are not derived, and whose position is not stored any more. */
  readonly kept: number;
  /** The first ones, at most `maxListed`. */
  readonly differences: readonly Difference[];
}

/** Differences of one device that are listed; all are counted. */
const maxListed = 1000;

/** Fixes that one statement reads. */
const pageSize = 5000;

/**
 * Derives the crossings of a device from its positions, without the outbox and without what the
 * worker stored, and compares them with the live timing records. Run it in one snapshot.
 */
export async function verifyDevice(
  client: pg.ClientBase,
  contract: DomainContract,
  settings: VerifySettings,
  imei: DeviceId,
  range: VerifyRange,
  signal: AbortSignal,
): Promise<DeviceReport> {
  const devices = deviceKeysOf(contract, imei);
  const report = createReport();
  const start = await startOf(client, contract, settings, imei, devices, range);
  let last = start.comparedAfter;
  const judge = async (fixes: number, wanted: readonly Crossing[], to: number) => {
    const live = await readLiveRecords(client, contract.timing, devices, { from: last, to });
    report.add(fixes, await compare(client, imei, wanted, live));
    last = to;
  };
  const derived = derivation(contract.index, contract.assignmentsOf(imei), settings, start);
  const pages = pagesOf(client, contract, settings, imei, { from: last, to: range.to });
  for await (const page of pages) {
    await judge(page.length, derived.add(page), page.at(-1)?.ts ?? last);
    if (signal.aborted) return report.result();
  }
  // Behind the last usable fix nothing is derived.
  await judge(0, [], range.to);
  return report.result();
}

function createReport() {
  const counts = { fixes: 0, unchanged: 0, missing: 0, extra: 0, kept: 0 };
  const differences: Difference[] = [];
  return {
    add(fixes: number, { unchanged, kept, differences: found }: Comparison): void {
      counts.fixes += fixes;
      counts.unchanged += unchanged;
      counts.kept += kept;
      for (const { kind } of found) counts[kind] += 1;
      differences.push(...found.slice(0, maxListed - differences.length));
    },
    result: (): DeviceReport => ({ ...counts, differences }),
  };
}

export function deviceKeysOf(contract: DomainContract, imei: DeviceId): DeviceKey[] {
  return [...new Set(contract.assignmentsOf(imei).map(({ device }) => device))];
}

interface Start extends DerivationStart {
  /** Timing records of hops that end later are compared. */
  readonly comparedAfter: number;
}

/**
 * Where the derivation begins. The fix before the range decides the state; in the margin, and where no
 * fix is left, the live timing records before it do. Where positions before the first one were
 * deleted, the hop to it cannot be derived and is not compared.
 */
async function startOf(
  client: pg.ClientBase,
  contract: DomainContract,
  settings: VerifySettings,
  imei: DeviceId,
  devices: readonly DeviceKey[],
  { from, to }: VerifyRange,
): Promise<Start> {
  const previous = await lastBefore(client, contract, settings, imei, from);
  if (previous !== null) return await startAt(client, contract, imei, devices, previous);
  const firstPage = pagesOf(client, contract, settings, imei, { from: from - 1, to });
  const first = (await firstPage.next()).value?.[0];
  if (first === undefined) return { previous: null, inside: [], comparedAfter: from - 1 };
  const before = await readLastRecords(client, contract.timing, devices, first.ts);
  const isCut = before.some(({ afterTs, beforeTs }) => afterTs < first.ts || beforeTs !== null);
  if (isCut) return await startAt(client, contract, imei, devices, first);
  return { previous: null, inside: [], comparedAfter: first.ts - 1 };
}

async function startAt(
  client: pg.ClientBase,
  { timing, index, ...contract }: DomainContract,
  imei: DeviceId,
  devices: readonly DeviceKey[],
  previous: Fix,
): Promise<Start> {
  const before = await readLastRecords(client, timing, devices, previous.ts);
  const live = liveCrossings(before);
  const box = boxOf({ previous, fixes: [previous] });
  const named = before.flatMap(({ geofence }) => index.byId(geofence) ?? []);
  const geofences = new Set([...(box === null ? [] : index.near(box)), ...named]);
  const evaluations = [...geofences].flatMap((geofence) =>
    evaluationsOf(geofence, contract.assignmentsOf(imei)),
  );
  const window = { previous, from: previous.ts };
  const inside = evaluations.filter((one) => stateBefore(one, window, live).inside);
  return { previous, inside, comparedAfter: previous.ts };
}

/** The last usable fix before the range that is not longer ago than the silence. */
async function lastBefore(
  client: pg.ClientBase,
  contract: DomainContract,
  { minSatellites, maxSilenceMs }: VerifySettings,
  imei: DeviceId,
  from: number,
): Promise<Fix | null> {
  const ignored = contract.ignoredOf(imei);
  let to = from - 1;
  for (;;) {
    const request = { after: from - maxSilenceMs, to, minSatellites, limit: pageSize };
    const order = 'newest_first' as const;
    const fixes = await readUsableFixes(client, imei, { ...request, order });
    const usable = fixes.find(({ ts }) => !isIn(ignored, ts));
    if (usable !== undefined) return usable;
    const oldest = fixes.at(-1);
    if (oldest === undefined || fixes.length < pageSize) return null;
    to = oldest.ts - 1;
  }
}

/** Usable fixes with `ts` in (from, to], a page at a time. */
async function* pagesOf(
  client: pg.ClientBase,
  contract: DomainContract,
  { minSatellites }: VerifySettings,
  imei: DeviceId,
  { from, to }: VerifyRange,
): AsyncGenerator<readonly Fix[], void> {
  const ignored = contract.ignoredOf(imei);
  let after = from;
  for (;;) {
    const request = { after, to, minSatellites, limit: pageSize, order: 'oldest_first' } as const;
    const fixes = await readUsableFixes(client, imei, request);
    const usable = fixes.filter(({ ts }) => !isIn(ignored, ts));
    if (usable.length > 0) yield usable;
    if (fixes.length < pageSize) return;
    after = fixes.at(-1)?.ts ?? to;
  }
}

function isIn(ranges: readonly { from: number; to: number }[], ts: number): boolean {
  return ranges.some(({ from, to }) => ts >= from && ts < to);
}

interface Comparison {
  readonly unchanged: number;
  readonly kept: number;
  readonly differences: readonly Difference[];
}

/** A record whose position is gone is right: missing input never retracts output. */
async function compare(
  client: pg.ClientBase,
  imei: DeviceId,
  wanted: readonly Crossing[],
  live: readonly TimingRecord[],
): Promise<Comparison> {
  const missing = new Map(wanted.map((crossing) => [crossingId(crossing), crossing]));
  const others = live.filter(({ id }) => !missing.delete(id));
  const probes = others.map(({ afterTs: ts }) => ({ device: imei, ts }));
  const isStored = await areStored(client, probes);
  const extra = others.filter((_, index) => isStored[index]);
  const differences = [
    ...[...missing].map(([id, crossing]) => ({ kind: 'missing' as const, imei, id, crossing })),
    ...extra.map((record) => ({ kind: 'extra' as const, imei, id: record.id, crossing: record })),
  ];
  return {
    unchanged: live.length - others.length,
    kept: others.length - extra.length,
    differences,
  };
}
