import type { DomainPause, DomainQueue, ParkedDevice } from '../../db/domain-operators.ts';
import { countText, durationText, plural } from '../format.ts';
import { table } from '../table.ts';
import { contractJson, refusedOf } from './contract.ts';
import type { ContractView } from './contract-view.ts';
import { pauseText } from './resume.ts';

export interface DomainStatus {
  /** DOMAIN in the environment of this command. */
  readonly isEnabled: boolean;
  /** Whether inserted positions reach the outbox: DOMAIN in the database. */
  readonly hasTrigger: boolean;
  readonly queue: DomainQueue;
  readonly pause: DomainPause | null;
  /** The longest parked ones, at most `shownParked`. */
  readonly parked: readonly ParkedDevice[];
  readonly contract: ContractView;
  /** Devices with positions and without an assignment; null: not known. */
  readonly unknownDevices: number | null;
}

export const shownParked = 20;
const shownRefused = 20;
/** As the alert ProcessorDomainLagging. */
const lagMs = 60_000;

/** What an operator should act on, one sentence each. */
export function attentionOf(status: DomainStatus): string[] {
  const { isEnabled, hasTrigger, queue, pause, contract } = status;
  if (!isEnabled && !hasTrigger) return [];
  const found = [];
  if (isEnabled !== hasTrigger) found.push(triggerText(isEnabled));
  if (pause !== null) found.push(pauseText(pause));
  if (queue.oldestMs !== null && queue.oldestMs > lagMs) {
    found.push(`the oldest range waits for ${durationText(queue.oldestMs)}`);
  }
  if (queue.parkedDevices > 0) {
    found.push(
      `${plural(queue.parkedDevices, 'device is', 'devices are')} parked after repeated failures: processor domain retry`,
    );
  }
  if (contract.faults.length > 0) {
    found.push(
      `the contract is broken: ${plural(contract.faults.length, 'fault', 'faults')}: processor domain contract`,
    );
  }
  return [...found, ...refusedTexts(contract)];
}

function refusedTexts(contract: ContractView): string[] {
  const { refused, assignments } = refusedOf(contract);
  const counts = [
    [refused.length, 'geofence is', 'geofences are'],
    [assignments, 'assignment is', 'assignments are'],
  ] as const;
  return counts
    .filter(([count]) => count > 0)
    .map(([count, one, many]) => `${plural(count, one, many)} refused: processor domain contract`);
}

function triggerText(isEnabled: boolean): string {
  return isEnabled
    ? 'DOMAIN is on, and nothing fills the outbox: run processor migrate up'
    : 'DOMAIN is off here, and the outbox is still filled: run processor migrate up, or set DOMAIN=on';
}

export function renderDomainStatus(status: DomainStatus): string {
  const attention = attentionOf(status);
  const last =
    attention.length === 0
      ? 'all is well'
      : `not well: ${plural(attention.length, 'line', 'lines')} with !`;
  return [
    ...attention.map((words) => `! ${words}`),
    table(factsOf(status)),
    ...parkedLines(status),
    last,
  ].join('\n');
}

function factsOf({ isEnabled, queue, contract, unknownDevices }: DomainStatus): string[][] {
  const { rows, devices, oldestMs } = queue;
  const oldest = oldestMs === null ? '' : `, the oldest ${durationText(Math.max(0, oldestMs))} old`;
  return [
    ['domain', isEnabled ? 'on' : 'off'],
    [
      'outbox',
      `${plural(rows, 'range', 'ranges')} of ${plural(devices, 'device', 'devices')}${oldest}`,
    ],
    ['parked', plural(queue.parkedDevices, 'device', 'devices')],
    ['contract', contractText(contract)],
    ['version', countText(queue.version)],
    [
      'unknown',
      unknownDevices === null
        ? 'not known: DOMAIN is off, or the login may not read positions.devices'
        : `${plural(unknownDevices, 'device', 'devices')} with positions and without an assignment`,
    ],
  ];
}

function contractText({ faults, warnings, reading }: ContractView): string {
  if (reading === null) return plural(faults.length, 'fault', 'faults');
  const more = warnings.length === 0 ? '' : `, ${plural(warnings.length, 'warning', 'warnings')}`;
  const { index } = reading.contract;
  return `as promised, ${plural(index.all.length, 'geofence', 'geofences')}${more}`;
}

function parkedLines({ parked, queue }: DomainStatus): string[] {
  if (parked.length === 0) return [];
  const rows = parked.map(({ device, from, to, attempts, error, parkedAt }) => [
    device,
    timeText(from),
    timeText(to),
    String(attempts),
    parkedAt.toISOString(),
    error,
  ]);
  const unlisted = queue.parkedDevices - parked.length;
  const more = unlisted > 0 ? [`and ${countText(unlisted)} more`] : [];
  return [table([['PARKED', 'FROM', 'TO', 'ATTEMPTS', 'SINCE', 'ERROR'], ...rows]), ...more];
}

/** A time of a range; one end may be open. */
export function timeText(ms: number): string {
  return timeOf(ms) ?? 'open';
}

/** For JSON: null is an open end. */
export function timeOf(ms: number): string | null {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : null;
}

export function domainStatusJson(status: DomainStatus): object {
  const { isEnabled, hasTrigger, queue, pause, parked, contract, unknownDevices } = status;
  return {
    attention: attentionOf(status),
    domain: isEnabled ? 'on' : 'off',
    trigger: hasTrigger,
    outbox: {
      rows: queue.rows,
      devices: queue.devices,
      oldest_seconds: queue.oldestMs === null ? null : Math.max(0, queue.oldestMs) / 1000,
    },
    parked_devices: queue.parkedDevices,
    parked: parked.map(({ device, from, to, attempts, error, parkedAt }) => {
      const range = { from: timeOf(from), to: timeOf(to) };
      return { device, ...range, attempts, error, parked_at: parkedAt };
    }),
    pause,
    version: queue.version,
    contract: contractJson(contract, shownRefused),
    unknown_devices: unknownDevices,
  };
}
