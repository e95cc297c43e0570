import type { Command } from 'commander';
import type { ChangeFlags } from '../change.ts';
import { runConsumersList, runConsumersRemove } from '../consumers.ts';
import type { OutputFlags } from '../io.ts';
import { type ClaimFlags, type PendingFlags, runPendingClaim, runPendingList } from '../pending.ts';
import { runStatus } from '../status.ts';
import {
  changeExits,
  changing,
  cliIo,
  collect,
  positive,
  type SetExitCode,
  wholeNumber,
} from './options.ts';

const exits = '\nExit codes: 0 done, 1 failed.';

/** What looks at the stream and its group, and mends it. */
export function addStream(program: Command, setExitCode: SetExitCode): void {
  addStatus(program, setExitCode);
  addPending(program, setExitCode);
  addConsumers(program, setExitCode);
}

interface StatusOptions {
  readonly json: boolean;
  readonly watch?: number | true;
  readonly frames?: number;
  readonly metricsUrl: readonly string[];
  readonly maxLag: number;
}

function addStatus(program: Command, setExitCode: SetExitCode): void {
  program
    .command('status')
    .description('lag, pending entries, rates, dead letters: whether it flows')
    .option('--json', 'print the result as one JSON line', false)
    .option('--watch [seconds]', 'redraw it, by default every 2 seconds', positive)
    .option('--frames <looks>', 'end watching after so many', positive)
    .option('--metrics-url <url>', "an instance's /metrics; may be repeated", collect, [])
    .option('--max-lag <seconds>', 'lag that deserves attention', wholeNumber, 60)
    .addHelpText(
      'after',
      '\nExit codes: 0 all is well, 1 something cannot be reached, 3 something deserves attention.',
    )
    .action(async ({ watch, frames, ...flags }: StatusOptions) =>
      setExitCode(
        await runStatus(cliIo(), {
          ...flags,
          watch: watch === undefined ? null : watch === true ? 2 : watch,
          frames: frames ?? null,
        }),
      ),
    );
}

function addPending(program: Command, setExitCode: SetExitCode): void {
  const pending = program.command('pending').description('entries delivered and not acknowledged');
  pending
    .command('list')
    .description('one line an entry, oldest first')
    .option('--consumer <name>', 'only those of this consumer')
    .option('--min-idle <seconds>', 'only those idle for so long', wholeNumber, 0)
    .option('--limit <entries>', 'at most so many', positive, 50)
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', exits)
    .action(async (flags: OutputFlags & PendingFlags) =>
      setExitCode(await runPendingList(cliIo(), flags)),
    );
  changing(pending.command('claim'))
    .description("hand a dead instance's entries to the living ones, now")
    .requiredOption('--consumer <name>', 'the dead instance')
    .option(
      '--min-idle <seconds>',
      'only those idle for so long; default CLAIM_THRESHOLD_MS',
      wholeNumber,
    )
    .option('--force', 'also when the consumer looks alive', false)
    .option('--timeout <seconds>', 'longest wait until they are taken', positive, 60)
    .addHelpText('after', changeExits)
    .action(async (flags: ClaimFlags) => setExitCode(await runPendingClaim(cliIo(), flags)));
}

function addConsumers(program: Command, setExitCode: SetExitCode): void {
  const consumers = program.command('consumers').description('who reads in the group');
  consumers
    .command('list')
    .description('one line a consumer')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', exits)
    .action(async (flags: OutputFlags) => setExitCode(await runConsumersList(cliIo(), flags)));
  changing(consumers.command('remove'))
    .description('take the name of a consumer that holds nothing out of the group')
    .argument('<name>', 'as consumers list prints it')
    .addHelpText('after', changeExits)
    .action(async (name: string, flags: ChangeFlags) =>
      setExitCode(await runConsumersRemove(cliIo(), name, flags)),
    );
}
