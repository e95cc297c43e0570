import type { Command } from 'commander';
import type { ChangeFlags } from '../change.ts';
import type { OutputFlags } from '../io.ts';
import { runMigrateStatus, runMigrateUp } from '../migrate.ts';
import { runRetention } from '../retention.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';

/** What looks after the table. */
export function addDatabase(program: Command, setExitCode: SetExitCode): void {
  const migrate = program.command('migrate').description('the schema of the database');
  migrate
    .command('status')
    .description('list the migrations: applied, pending, changed, or unknown to this version')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 up to date, 1 not up to date, or failed.')
    .action(async (flags: OutputFlags) => setExitCode(await runMigrateStatus(cliIo(), flags)));
  changing(migrate.command('up'))
    .description('apply what is pending, and the configured storage and policies')
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags) => setExitCode(await runMigrateUp(cliIo(), flags)));
  changing(program.command('retention'))
    .description('drop what is older than RETENTION, where the server has no policy that does it')
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags) => setExitCode(await runRetention(cliIo(), flags)));
}
