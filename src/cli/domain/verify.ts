import type { Command } from 'commander';
import type { DeviceId } from '../../core/types.ts';
import { type CliIo, cliExits, type OutputFlags, print } from '../io.ts';
import { cliIo, positive, type SetExitCode } from '../options.ts';
import { withStores } from '../stores.ts';
import { type DeviceFlags, oneOrAll, withDevice } from './devices.ts';
import { examinationJson, examinationText, faultsText } from './examination-view.ts';
import { type Examination, examine } from './examine.ts';
import { type RangeFlags, rangeOf, withRange } from './range.ts';

export interface VerifyFlags extends OutputFlags, RangeFlags {
  readonly maxDevices: number;
  readonly limit: number;
}

/** Registers `processor domain verify`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  withRange(withDevice(command))
    .description('derive timing records from positions, and compare them with the stored ones')
    .option('--max-devices <count>', 'with --all: maximum of devices examined', positive, 1000)
    .option('--limit <findings>', 'maximum of findings listed; all are counted', positive, 20)
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing differs; 1 failed or interrupted; 2 wrong usage; 3 a part could not be examined, or what differs waits in the outbox; 4 timing records are missing or extra.',
    )
    .action(async (flags: VerifyFlags & DeviceFlags) =>
      setExitCode(await runDomainVerify(cliIo(), flags, oneOrAll(command, flags))),
    );
}

/** The codes of `processor verify`. */
export const verifyExits = { ...cliExits, attention: 3, different: 4 } as const;

/** `processor domain verify`: reads one snapshot and changes nothing. @param device null: all */
export function runDomainVerify(
  io: CliIo,
  flags: VerifyFlags,
  device: DeviceId | null,
): Promise<number> {
  return withStores<number>(io, async (stores) => {
    const { maxDevices, limit } = flags;
    const subject = { device, geofence: null, range: rangeOf(stores, flags), maxDevices, limit };
    const examined = await examine(stores, subject, io.signal);
    if (!examined.ok) {
      io.stderr.write(`processor: nothing was verified: ${faultsText(examined.faults)}\n`);
      return verifyExits.failed;
    }
    const { examination } = examined;
    const { aborted: isInterrupted } = io.signal;
    print(
      io,
      flags,
      { ...examinationJson(examination), interrupted: isInterrupted },
      examinationText(examination, isInterrupted),
    );
    return isInterrupted ? verifyExits.failed : exitOf(examination, flags);
  });
}

/** A difference of a device that still waits may be work to do, so it is no finding yet. */
function exitOf(examination: Examination, { from }: VerifyFlags): number {
  const { missing, extra, waiting, unseen, devices, devicesFound, cutAt } = examination;
  const isBehind = waiting + unseen > 0;
  if (missing + extra > 0) return isBehind ? verifyExits.attention : verifyExits.different;
  const isPartial = devices < devicesFound || (from !== undefined && cutAt !== null);
  return isPartial ? verifyExits.attention : verifyExits.ok;
}
