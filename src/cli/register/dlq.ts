import { type Command, InvalidArgumentError, Option } from 'commander';
import { reasons } from '../../core/types.ts';
import type { ChangeFlags } from '../change.ts';
import {
  type FilterFlags,
  runDlqExport,
  runDlqList,
  runDlqPurge,
  runDlqShow,
  runDlqStats,
} from '../dlq.ts';
import { type ReplayFlags, runDlqReplay } from '../dlq-replay.ts';
import type { OutputFlags } from '../io.ts';
import {
  changeExits,
  changing,
  cliIo,
  collect,
  instant,
  positive,
  type SetExitCode,
} from './options.ts';

const stages = ['decode', 'validate', 'write', 'conflict'];
/** Dead letters a command works on by default. */
const many = 1_000_000;

/** Commands for the dead-letter stream. */
export function addDlq(program: Command, setExitCode: SetExitCode): void {
  const dlq = program.command('dlq').description('the dead-letter stream');
  const exits = '\nExit codes: 0 done, 1 failed.';

  filtered(dlq.command('list'), 50)
    .description('one line a dead letter, newest first')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', exits)
    .action(async (flags: OutputFlags & FilterFlags) =>
      setExitCode(await runDlqList(cliIo(), flags)),
    );
  dlq
    .command('show')
    .description('everything one dead letter keeps')
    .argument('<id>', "the dead letter's id, as dlq list prints it", letterId)
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', exits)
    .action(async (id: string, flags: OutputFlags) =>
      setExitCode(await runDlqShow(cliIo(), id, flags)),
    );
  filtered(dlq.command('stats'), many)
    .description('dead letters by reason, stage and device')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', exits)
    .action(async (flags: OutputFlags & FilterFlags) =>
      setExitCode(await runDlqStats(cliIo(), flags)),
    );
  filtered(dlq.command('export'), many)
    .description('dead letters as NDJSON, byte for byte, oldest first')
    .requiredOption('--to <file>', 'a file that is not there yet, or - for stdout')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', exits)
    .action(async (flags: OutputFlags & FilterFlags & { to: string }) =>
      setExitCode(await runDlqExport(cliIo(), flags)),
    );
  changing(filtered(dlq.command('purge'), many))
    .description('delete dead letters for good')
    .option('--all', 'all of them, whatever they are', false)
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags & FilterFlags & { all: boolean }) =>
      setExitCode(await runDlqPurge(cliIo(), flags)),
    );
  changing(filtered(dlq.command('replay'), many))
    .description(
      'send entries through the service again; a dead letter is deleted once all of its entry is stored',
    )
    .option(
      '--fix <field=value>',
      'change a field of a payload entry first (may be repeated); needs --device or --id',
      collect,
      [],
    )
    .option('--rate <entries>', 'entries a second, at most', positive, 100)
    .option('--timeout <seconds>', 'longest wait for the service to settle some', positive, 60)
    .addHelpText(
      'after',
      '\nExit codes: 0 all is stored, 1 failed or dead letters are left, 2 not carried out.',
    )
    .action(async (flags: ReplayFlags) => setExitCode(await runDlqReplay(cliIo(), flags)));
}

function filtered(command: Command, limit: number): Command {
  return command
    .addOption(new Option('--reason <reason>', 'only dead letters of this reason').choices(reasons))
    .addOption(new Option('--stage <stage>', 'only dead letters of this stage').choices(stages))
    .option('--device <imei>', 'only dead letters of this device')
    .option('--id <id>', 'only the dead letter with this id', letterId)
    .option('--since <time>', 'ISO 8601, or how long ago: 30m, 2h, 7d', instant)
    .option('--until <time>', 'likewise', instant)
    .option('--limit <number>', 'maximum number of dead letters', positive, limit);
}

function letterId(text: string): string {
  if (!/^\d{1,15}-\d{1,15}$/.test(text)) {
    throw new InvalidArgumentError('expected an id, as 1767225600000-0.');
  }
  return text;
}
