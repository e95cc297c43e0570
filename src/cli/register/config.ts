import type { Command } from 'commander';
import { runConfig } from '../config.ts';
import type { OutputFlags } from '../io.ts';
import { cliIo, type SetExitCode } from './options.ts';

/** What tells of the configuration. */
export function addConfig(program: Command, setExitCode: SetExitCode): void {
  program
    .command('config')
    .description('print every variable, its value and where it came from; secrets are hidden')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 the service would take it, 1 it has problems.')
    .action((flags: OutputFlags) => setExitCode(runConfig(cliIo(), flags)));
}
