import type { Command } from 'commander';
import type { ChangeFlags } from '../change.ts';
import { runRehydrate } from '../device.ts';
import { runDeviceShow } from '../device-show.ts';
import type { OutputFlags } from '../io.ts';
import { runPause, runResume } from '../pause.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';

/** What changes running instances. */
export function addSwitches(program: Command, setExitCode: SetExitCode): void {
  changing(program.command('pause'))
    .description('stop consumption on all instances, now and until resume')
    .requiredOption('--reason <text>', 'why, for the audit line and the log')
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags & { reason: string }) =>
      setExitCode(await runPause(cliIo(), flags)),
    );
  changing(program.command('resume'))
    .description('start consumption again on all instances')
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags) => setExitCode(await runResume(cliIo(), flags)));
  const device = program.command('device').description('look at one device, or mend its state');
  device
    .command('show')
    .description('what table, dead letters and stream know of one device')
    .argument('<imei>', '15 digits')
    .option(
      '--model <model>',
      "for the IO elements' names: a model as FMC130, or its family",
      'FMB',
    )
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 no IMEI.')
    .action(async (imei: string, flags: OutputFlags & { model: string }) =>
      setExitCode(await runDeviceShow(cliIo(), imei, flags)),
    );
  changing(device.command('rehydrate'))
    .description('make running instances look the device up anew')
    .argument('<imei>', '15 digits')
    .addHelpText('after', changeExits)
    .action(async (imei: string, flags: ChangeFlags) =>
      setExitCode(await runRehydrate(cliIo(), imei, flags)),
    );
}
