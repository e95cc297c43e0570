import type { Command } from 'commander';
import { runDoctor } from '../doctor.ts';
import { cliIo, type SetExitCode } from './options.ts';

/** What only looks. */
export function addLooking(program: Command, setExitCode: SetExitCode): void {
  program
    .command('doctor')
    .description('look at configuration, Redis and database before a deploy; changes nothing')
    .option('--json', 'print the result as one JSON line', false)
    .option('--strict', 'a warning is a failure too', false)
    .addHelpText('after', '\nExit codes: 0 all is well, or only warnings; 1 a failure.')
    .action(async (flags: { json: boolean; strict: boolean }) =>
      setExitCode(await runDoctor(cliIo(), flags)),
    );
}
