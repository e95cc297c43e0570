import type { Command } from 'commander';
import type { DeviceId } from '../../core/types.ts';
import {
  countAssigned,
  enqueueAssigned,
  enqueueDevice,
  hasGeofence,
} from '../../db/domain-devices.ts';
import { noteChange } from '../audit.ts';
import { type ChangeFlags, makeChange } from '../change.ts';
import { deviceMark } from '../device-mark.ts';
import { plural } from '../format.ts';
import { type CliExit, type CliIo, cliExits, print } from '../io.ts';
import { changeExits, changing, cliIo, positive, type SetExitCode } from '../options.ts';
import { printable } from '../printable.ts';
import { type Stores, withStores } from '../stores.ts';
import { type DeviceFlags, withDevice } from './devices.ts';
import { examinationJson, examinationText, faultsText } from './examination-view.ts';
import { examine } from './examine.ts';
import { type RangeFlags, rangeOf, withRange } from './range.ts';
import { onDomain } from './session.ts';
import { timeText } from './status-view.ts';
import type { VerifyRange } from './verify-device.ts';

interface RecomputeFlags extends ChangeFlags, RangeFlags, DeviceFlags {
  readonly geofence?: string;
  readonly maxDevices: number;
  readonly limit: number;
}

/** Registers `processor domain recompute`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  withRange(withDevice(changing(command)))
    .description('compute the timing records of a time range again')
    .option('--geofence <key>', 'only devices that this geofence is evaluated for')
    .option('--max-devices <count>', 'with --dry-run: maximum of devices examined', positive, 1000)
    .option('--limit <findings>', 'with --dry-run: maximum of findings listed', positive, 20)
    .addHelpText('after', changeExits)
    .action(async (flags: RecomputeFlags) =>
      setExitCode(await runRecompute(cliIo(), flags, targetOf(command, flags))),
    );
}

/** Null in both: all devices. */
interface Target {
  readonly device: DeviceId | null;
  readonly geofence: string | null;
}

function targetOf(command: Command, { device, geofence, all }: RecomputeFlags): Target {
  const given = [device !== undefined, geofence !== undefined, all].filter(Boolean);
  if (given.length !== 1) {
    command.error('error: give one of --device <imei>, --geofence <key> and --all');
  }
  return { device: device ?? null, geofence: geofence ?? null };
}

/**
 * `processor domain recompute`: adds ranges to the outbox; running instances compute them. A dry run
 * derives the timing records and prints what would change.
 */
function runRecompute(io: CliIo, flags: RecomputeFlags, target: Target): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const range = rangeOf(stores, flags);
    const { geofence } = target;
    if (geofence !== null && !(await onDomain(stores, (client) => hasGeofence(client, geofence)))) {
      io.stderr.write(`processor: geofences_v1 has no geofence ${printable(geofence)}\n`);
      return cliExits.refused;
    }
    if (flags.dryRun) return await showDifference(io, flags, stores, target, range);
    return await enqueue(io, flags, stores, target, range);
  });
}

async function showDifference(
  io: CliIo,
  flags: RecomputeFlags,
  stores: Stores,
  target: Target,
  range: VerifyRange,
): Promise<CliExit> {
  const { maxDevices, limit } = flags;
  const examined = await examine(stores, { ...target, range, maxDevices, limit }, io.signal);
  if (!examined.ok) {
    io.stderr.write(`processor: ${faultsText(examined.faults)}\n`);
    return cliExits.failed;
  }
  const { examination } = examined;
  const isInterrupted = io.signal.aborted;
  const text = examinationText(examination, isInterrupted);
  print(
    io,
    flags,
    { dry_run: true, ...examinationJson(examination), interrupted: isInterrupted },
    `would insert what is missing and supersede what is extra:\n${text}`,
  );
  return isInterrupted ? cliExits.failed : cliExits.ok;
}

async function enqueue(
  io: CliIo,
  flags: RecomputeFlags,
  stores: Stores,
  { device, geofence }: Target,
  range: VerifyRange,
): Promise<CliExit> {
  const count =
    device === null ? await onDomain(stores, (client) => countAssigned(client, { geofence })) : 1;
  const times = `from ${timeText(range.from)} to ${timeText(range.to)}`;
  const devices = plural(count, 'device', 'devices');
  return await makeChange(io, flags, {
    what: `compute timing records of ${devices} again, ${times}`,
    planned: {},
    isEmpty: count === 0,
    async carryOut() {
      const enqueued = await onDomain(stores, (client) =>
        device === null
          ? enqueueAssigned(client, { geofence }, range)
          : enqueueDevice(client, device, range),
      );
      const text = `added ranges of ${plural(enqueued, 'device', 'devices')} to the outbox, ${times}`;
      if (enqueued === 0) return { result: { enqueued }, text: 'no device is assigned' };
      const who = device === null ? (geofence ?? 'all') : deviceMark(stores.config, device);
      const detail = `${who} devices=${enqueued} ${times}`;
      const audit = () => noteChange(io, flags, stores, 'domain recompute', detail);
      return { result: { enqueued }, text, audit };
    },
  });
}
