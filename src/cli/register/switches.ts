import type { Command } from 'commander';
import type { ChangeFlags } from '../change.ts';
import { runRehydrate } from '../device.ts';
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
  changing(device.command('rehydrate'))
    .description('make running instances look the device up anew')
    .argument('<imei>', '15 digits')
    .addHelpText('after', changeExits)
    .action(async (imei: string, flags: ChangeFlags) =>
      setExitCode(await runRehydrate(cliIo(), imei, flags)),
    );
}
