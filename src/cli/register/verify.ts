import type { Command } from 'commander';
import { runVerify } from '../verify.ts';
import { cliIo, collect, instant, positive, type SetExitCode } from './options.ts';

interface VerifyOptions {
  readonly json: boolean;
  readonly from: number;
  readonly to?: number;
  readonly device?: string;
  readonly limit: number;
  readonly metricsUrl: readonly string[];
}

/** What proves that nothing is lost. */
export function addVerify(program: Command, setExitCode: SetExitCode): void {
  program
    .command('verify')
    .description('whether every record of a time range of the stream is in the table, or a letter')
    .option('--from <time>', 'ISO 8601, or how long ago: 30m, 2h, 7d; default 1h', instant)
    .option('--to <time>', 'likewise; default now', instant)
    .option('--device <imei>', 'only entries of this device')
    .option('--limit <findings>', 'findings that are listed; all are counted', positive, 20)
    .option('--metrics-url <url>', "also an instance's account; may be repeated", collect, [])
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing is missing, 1 failed or interrupted, 2 wrong usage, 3 dead letters are gone or a part of the range could not be examined, 4 records are missing.',
    )
    .action(async (flags: VerifyOptions) =>
      setExitCode(await runVerify(cliIo(), { ...flags, from: flags.from ?? instant('1h') })),
    );
}
