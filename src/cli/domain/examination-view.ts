import type { ContractFault } from '../../domain/contract.ts';
import { countText, plural } from '../format.ts';
import { table } from '../table.ts';
import type { Examination } from './examine.ts';
import type { Difference } from './verify-device.ts';

/** The names are an interface. */
export function examinationJson(examination: Examination): object {
  const { differences, cutAt, devicesFound, missing, extra, ...counts } = examination;
  return {
    ...counts,
    devices_found: devicesFound,
    missing,
    extra,
    examined_from: cutAt === null ? null : new Date(cutAt).toISOString(),
    findings_not_listed: missing + extra - differences.length,
    findings: differences.map(({ kind, imei, id, crossing }) => ({
      kind,
      imei,
      id,
      geofence: crossing.geofence,
      direction: crossing.direction,
      method: crossing.method,
      at: new Date(crossing.at).toISOString(),
      after_ts: new Date(crossing.afterTs).toISOString(),
    })),
  };
}

export function examinationText(examination: Examination, isInterrupted: boolean): string {
  const { devices, devicesFound, fixes, unchanged, missing, extra } = examination;
  const facts = [
    ['devices', `${countText(devices)} of ${countText(devicesFound)}`],
    ['fixes', countText(fixes)],
    ['same', countText(unchanged)],
    ['missing', countText(missing)],
    ['extra', countText(extra)],
  ];
  return [
    table(facts),
    ...remarks(examination),
    ...findingLines(examination),
    ...(isInterrupted ? ['interrupted: this is what was verified by then'] : []),
  ].join('\n');
}

/** What limits the result. */
function remarks(examination: Examination): string[] {
  const { devices, devicesFound, waiting, unknown, unseen, cutAt, kept } = examination;
  const lines = [];
  if (devices < devicesFound) {
    const left = plural(devicesFound - devices, 'device was', 'devices were');
    lines.push(`${left} not examined: --max-devices`);
  }
  if (cutAt !== null) {
    lines.push(`not examined before ${new Date(cutAt).toISOString()}: RETENTION`);
  }
  if (kept > 0) {
    lines.push(
      `${plural(kept, 'timing record', 'timing records')} of deleted positions: not examined`,
    );
  }
  if (waiting > 0) {
    const found = plural(waiting, 'device has', 'devices have');
    lines.push(`${found} ranges in the outbox or parked: their differences may be work to do`);
  }
  if (unseen > 0) {
    const rows = plural(unseen, 'row of the views is', 'rows of the views are');
    lines.push(`${rows} not enqueued yet: differences may be work to do`);
  }
  if (unknown > 0) {
    lines.push(`${plural(unknown, 'device', 'devices')} without an assignment`);
  }
  return lines;
}

function findingLines({ differences, missing, extra }: Examination): string[] {
  if (differences.length === 0) return [];
  const unlisted = missing + extra - differences.length;
  const more = unlisted > 0 ? [`and ${countText(unlisted)} more; list them with --limit`] : [];
  return [table([heading, ...differences.map(cellsOf)]), ...more];
}

const heading = ['FINDING', 'DEVICE', 'GEOFENCE', 'DIRECTION', 'AT', 'METHOD'];

function cellsOf({ kind, imei, crossing }: Difference): string[] {
  const { geofence, direction, at, method } = crossing;
  return [kind, imei, geofence, direction, new Date(at).toISOString(), method];
}

/** The faults of a broken contract on one line. */
export function faultsText(faults: readonly ContractFault[]): string {
  const [first] = faults;
  const object = first === undefined ? '' : `: ${first.object}: ${first.problem}`;
  return `the contract is broken${object}; see processor domain contract`;
}
