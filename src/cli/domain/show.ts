import type { Command } from 'commander';
import type { DeviceId } from '../../core/types.ts';
import { type QueuedRanges, readQueuedRanges } from '../../db/domain-devices.ts';
import { type ParkedDevice, readParkedDevice } from '../../db/domain-operators.ts';
import { readNewestRecords, type TimingRecord } from '../../db/domain-records.ts';
import type { DomainContract } from '../../domain/contract.ts';
import type { Assignment } from '../../domain/types.ts';
import { durationText, plural } from '../format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from '../io.ts';
import { cliIo, positive, type SetExitCode } from '../options.ts';
import { withStores } from '../stores.ts';
import { table } from '../table.ts';
import { viewContract } from './contract-view.ts';
import { deviceId } from './devices.ts';
import { faultsText } from './examination-view.ts';
import { type RangeFlags, rangeOf, withRange } from './range.ts';
import { onDomain } from './session.ts';
import { timeOf, timeText } from './status-view.ts';
import { deviceKeysOf } from './verify-device.ts';

interface ShowFlags extends OutputFlags, RangeFlags {
  readonly device: DeviceId;
  readonly limit: number;
  readonly superseded: boolean;
}

/** Registers `processor domain show`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  withRange(command)
    .description('what Directus and the outbox hold of one device, and its timing records')
    .requiredOption('--device <imei>', '15 digits', deviceId)
    .option('--limit <records>', 'maximum of timing records listed, newest first', positive, 20)
    .option('--superseded', 'list superseded timing records too', false)
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 done, 1 failed.')
    .action(async (flags: ShowFlags) => setExitCode(await runDomainShow(cliIo(), flags)));
}

/** `processor domain show`: the timing records of one device, and where they come from. */
function runDomainShow(io: CliIo, flags: ShowFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { reading, faults } = await viewContract(stores);
    if (reading === null) {
      io.stderr.write(`processor: ${faultsText(faults)}\n`);
      return cliExits.failed;
    }
    const { contract } = reading;
    const { device, limit } = flags;
    const request = { ...rangeOf(stores, flags), limit: limit + 1, isLive: !flags.superseded };
    const view = await onDomain(stores, async (client) => ({
      queued: await readQueuedRanges(client, device),
      parked: await readParkedDevice(client, device),
      records: await readNewestRecords(
        client,
        contract.timing,
        deviceKeysOf(contract, device),
        request,
      ),
    }));
    const shown = { ...view, device, contract, limit };
    print(io, flags, jsonOf(shown), textOf(shown));
    return cliExits.ok;
  });
}

interface Shown {
  readonly device: DeviceId;
  readonly contract: DomainContract;
  readonly queued: QueuedRanges;
  readonly parked: ParkedDevice | null;
  /** One more than the limit where there are more. */
  readonly records: readonly TimingRecord[];
  readonly limit: number;
}

function textOf({ device, contract, queued, parked, records, limit }: Shown): string {
  const assignments = contract
    .assignmentsOf(device)
    .map((one) => [
      'assigned',
      `device ${one.device}, subject ${one.subject ?? '-'}, scope ${one.scope ?? '-'}, from ${timeText(one.from)} to ${timeText(one.to)}`,
    ]);
  const ignored = contract
    .ignoredOf(device)
    .map(({ from, to }) => ['ignored', `from ${timeText(from)} to ${timeText(to)}`]);
  const facts = [
    ...(assignments.length > 0 ? assignments : [['assigned', 'no: Directus does not know it']]),
    ...ignored,
    ['outbox', queuedText(queued)],
    ['parked', parked === null ? 'no' : parkedText(parked)],
  ];
  const more = records.length > limit ? ['there are more; list them with --limit'] : [];
  const listed =
    records.length === 0
      ? ['no timing records in the range']
      : [table([heading, ...records.slice(0, limit).map(cellsOf)])];
  return [table(facts), ...listed, ...more].join('\n');
}

/** The others only name keys under which older timing records may be stored. */
function validOf(contract: DomainContract, device: DeviceId): readonly Assignment[] {
  return contract.assignmentsOf(device).filter(({ from, to }) => from < to);
}

function queuedText({ rows, oldestMs, from, to }: QueuedRanges): string {
  if (rows === 0 || oldestMs === null || from === null || to === null) return '0 ranges';
  const age = durationText(Math.max(0, oldestMs));
  return `${plural(rows, 'range', 'ranges')} from ${timeText(from)} to ${timeText(to)}, the oldest ${age} old`;
}

function parkedText({ from, to, attempts, error, parkedAt }: ParkedDevice): string {
  return `since ${parkedAt.toISOString()} after ${attempts} attempts (${error}), from ${timeText(from)} to ${timeText(to)}`;
}

const heading = [
  'AT',
  'DIRECTION',
  'GEOFENCE',
  'METHOD',
  'BEFORE',
  'AFTER',
  'SOURCE',
  'SUPERSEDED',
];

function cellsOf(record: TimingRecord): string[] {
  const { at, direction, geofence, method, beforeTs, afterTs, source, supersededAt } = record;
  const optional = (ms: number | null) => (ms === null ? '-' : timeText(ms));
  return [
    timeText(at),
    direction,
    geofence,
    method,
    optional(beforeTs),
    timeText(afterTs),
    source,
    optional(supersededAt),
  ];
}

function jsonOf({ device, contract, queued, parked, records, limit }: Shown): object {
  const optional = (ms: number | null) => (ms === null ? null : timeOf(ms));
  return {
    device,
    assignments: validOf(contract, device).map((one) => ({
      ...one,
      from: timeOf(one.from),
      to: timeOf(one.to),
    })),
    ignored: contract
      .ignoredOf(device)
      .map(({ from, to }) => ({ from: timeOf(from), to: timeOf(to) })),
    outbox: { rows: queued.rows, from: optional(queued.from), to: optional(queued.to) },
    parked: parked && { ...parked, from: timeOf(parked.from), to: timeOf(parked.to) },
    has_more: records.length > limit,
    records: records.slice(0, limit).map((record) => ({
      id: record.id,
      at: timeOf(record.at),
      direction: record.direction,
      geofence: record.geofence,
      subject: record.subject,
      method: record.method,
      before_ts: optional(record.beforeTs),
      after_ts: timeOf(record.afterTs),
      source: record.source,
      superseded_at: optional(record.supersededAt),
    })),
  };
}
