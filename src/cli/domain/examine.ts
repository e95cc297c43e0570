import type pg from 'pg';
import type { Config } from '../../config/load.ts';
import type { DeviceId } from '../../core/types.ts';
import { checkContract } from '../../db/domain-contract.ts';
import { countAssigned, countWaiting, readAssigned } from '../../db/domain-devices.ts';
import { readContract } from '../../db/domain-load.ts';
import {
  ContractBrokenError,
  type ContractFault,
  type DomainContract,
} from '../../domain/contract.ts';
import { isDeviceId } from '../../teltonika/imei.ts';
import type { Stores } from '../stores.ts';
import { inSnapshot } from './contract-view.ts';
import { onDomain } from './session.ts';
import {
  type DeviceReport,
  type Difference,
  type VerifyRange,
  type VerifySettings,
  verifyDevice,
} from './verify-device.ts';

/** What is examined. */
export interface Subject {
  /** Null: all devices that Directus assigns. */
  readonly device: DeviceId | null;
  /** Only devices that this geofence is evaluated for; null: any. */
  readonly geofence: string | null;
  readonly range: VerifyRange;
  /** Devices are examined in the order of their IMEI up to this many. */
  readonly maxDevices: number;
  /** Differences that are kept; all are counted. */
  readonly limit: number;
}

export interface Examination {
  readonly devices: number;
  /** More than `devices`: the maximum was reached, or the examination was interrupted. */
  readonly devicesFound: number;
  readonly fixes: number;
  readonly unchanged: number;
  readonly missing: number;
  readonly extra: number;
  /** Timing records whose position is not stored any more; they stay. */
  readonly kept: number;
  readonly differences: readonly Difference[];
  /** Examined devices with ranges in the outbox or parked: their differences may be work to do. */
  readonly waiting: number;
  /** Examined devices without an assignment: they have no timing records. */
  readonly unknown: number;
  /** Rows of the views that no worker has compared yet. */
  readonly unseen: number;
  /** Where the range begins, because RETENTION ends there; null: nothing was cut. */
  readonly cutAt: number | null;
}

export type Examined =
  | { readonly ok: true; readonly examination: Examination }
  | { readonly ok: false; readonly faults: readonly ContractFault[] };

/**
 * Derives timing records from positions and compares them with the live ones, all in one snapshot.
 * @throws DependencyError if the database is not available
 */
export function examine(stores: Stores, subject: Subject, signal: AbortSignal): Promise<Examined> {
  const { domain } = stores.config;
  return onDomain(stores, async (client): Promise<Examined> => {
    const check = await checkContract(client, domain);
    if (!check.ok) return check;
    try {
      return await inSnapshot(client, async () => {
        const { contract, unseen } = await readContract(client, check.timing, domain);
        const examination = await examineAll(client, stores.config, contract, subject, signal);
        return { ok: true, examination: { ...examination, unseen } };
      });
    } catch (error) {
      if (error instanceof ContractBrokenError) return { ok: false, faults: error.faults };
      throw error;
    }
  });
}

async function examineAll(
  client: pg.ClientBase,
  config: Config,
  contract: DomainContract,
  subject: Subject,
  signal: AbortSignal,
): Promise<Omit<Examination, 'unseen'>> {
  const range = keptRange(config, subject.range);
  const settings = settingsOf(config);
  const tally = createTally(subject.limit);
  const { devices, found } = await devicesOf(client, subject);
  for (const device of devices) {
    if (signal.aborted) break;
    const isUnknown = contract.assignmentsOf(device).length === 0;
    const report = await verifyDevice(client, contract, settings, device, range, signal);
    tally.add(device, report, isUnknown);
  }
  const { examined, ...result } = tally.result();
  return {
    ...result,
    devices: examined.length,
    devicesFound: found,
    waiting: await countWaiting(client, examined),
    cutAt: range.from > subject.range.from ? range.from : null,
  };
}

/** The worker computes nothing before RETENTION. */
function keptRange({ database }: Config, { from, to }: VerifyRange): VerifyRange {
  const { retentionMs } = database;
  return { from: retentionMs === null ? from : Math.max(from, Date.now() - retentionMs), to };
}

function settingsOf({ domain, deviceState }: Config): VerifySettings {
  const { minSatellites, maxHopMs } = domain;
  return { minSatellites, maxHopMs, maxSilenceMs: deviceState.rehydrateHorizonMs };
}

async function devicesOf(
  client: pg.ClientBase,
  { device, geofence, maxDevices }: Subject,
): Promise<{ readonly devices: readonly DeviceId[]; readonly found: number }> {
  if (device !== null) return { devices: [device], found: 1 };
  const imeis = await readAssigned(client, { geofence }, maxDevices);
  return { devices: imeis.filter(isDeviceId), found: await countAssigned(client, { geofence }) };
}

function createTally(limit: number) {
  const examined: DeviceId[] = [];
  const differences: Difference[] = [];
  const counts = { fixes: 0, unchanged: 0, missing: 0, extra: 0, kept: 0, unknown: 0 };
  return {
    add(device: DeviceId, report: DeviceReport, isUnknown: boolean): void {
      examined.push(device);
      counts.fixes += report.fixes;
      counts.unchanged += report.unchanged;
      if (isUnknown) counts.unknown += 1;
      counts.missing += report.missing;
      counts.extra += report.extra;
      counts.kept += report.kept;
      differences.push(...report.differences.slice(0, limit - differences.length));
    },
    result: () => ({ ...counts, examined, differences }),
  };
}
