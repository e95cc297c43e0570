import type { Command } from 'commander';
import { idFaultText } from './id-fault.ts';
import { type CliIo, cliExits, print } from './io.ts';
import { changing, cliIo, collect, instant, positive, type SetExitCode } from './options.ts';
import { inShards, linesOf, reportMissing, shardsJson } from './shard-text.ts';
import { type Answered, overShards, type ShardFlags, sharded } from './shards.ts';
import { type Stores, withStores } from './stores.ts';
import { type ResendFlags, resendMissing } from './verify/resend-missing.ts';
import { residualsOf } from './verify/residuals.ts';
import {
  type StreamVerified,
  type Unverifiable,
  type VerifyRange,
  verifyStream,
} from './verify/stream.ts';
import { streamJson, sumJson, sumOf, textOf, unexaminedJson } from './verify/view.ts';

/** Registers `processor verify`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  sharded(command)
    .option(
      '--from <time>',
      'start of the range: ISO 8601, or how long ago: 30m, 2h, 7d; default 1h',
      instant,
    )
    .option('--to <time>', 'end of the range, in the same form; default now', instant)
    .option('--device <imei>', 'only entries of this device')
    .option('--limit <findings>', 'maximum of findings listed; all are counted', positive, 20)
    .option(
      '--metrics-url <url>',
      "an instance's /metrics, to check its account too; may be repeated",
      collect,
      [],
    )
    .option('--resend', 'add the entries of missing records to the stream again', false)
    .option('--rate <entries>', 'with --resend: maximum entries per second', positive, 1000)
    .option(
      '--timeout <seconds>',
      'with --resend: maximum wait for the service to settle entries',
      positive,
      60,
    );
  changing(command)
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing is missing, or all of it was put back, 1 failed or interrupted, or the service did not settle what was resent, 2 wrong usage, or not carried out, 3 dead letters are gone or a part of the range could not be examined, 4 records are missing.',
    )
    .action(async (flags: Omit<VerifyFlags, 'from'> & { from?: number }) =>
      setExitCode(await runVerify(cliIo(), { ...flags, from: flags.from ?? instant('1h') })),
    );
}

export interface VerifyFlags extends ResendFlags, ShardFlags, VerifyRange {
  readonly metricsUrl: readonly string[];
}

/** As other commands' codes; 3: dead letters are gone, or a part could not be examined; 4: records are missing. */
export const verifyExits = { ...cliExits, attention: 3, missing: 4 } as const;

/** `processor verify`: checks that every record of a time range is stored or dead-lettered. */
export function runVerify(io: CliIo, flags: VerifyFlags): Promise<number> {
  if (!flags.resend && (flags.yes || flags.dryRun)) {
    io.stderr.write('processor: --yes and --dry-run belong to --resend\n');
    return Promise.resolve(verifyExits.refused);
  }
  return withStores<number>(io, (stores) => verifyAll(io, stores, flags), flags);
}

/** Streams verified at the same time: each asks the database, which has two connections. */
const atOnce = 2;

async function verifyAll(io: CliIo, stores: Stores, flags: VerifyFlags): Promise<number> {
  const { config, streams } = stores;
  const answers = await overShards(
    streams,
    (store) => verifyStream(stores, store, flags, io.signal),
    atOnce,
  );
  const verified = answers.answered.flatMap(({ store, value }) =>
    'faults' in value ? [] : [{ store, value }],
  );
  const hasFaults = verified.length < answers.answered.length;
  reportFaults(io, answers.answered);
  reportMissing(io, answers.missing);
  if (verified.length === 0) return verifyExits.failed;
  const sum = sumOf(verified, flags.limit);
  const residuals = await residualsOf(flags.metricsUrl);
  const interrupted = io.signal.aborted;
  const { missing } = answers;
  const json = {
    ...sumJson(sum),
    residuals,
    ...unexaminedJson(verified),
    interrupted,
    ...shardsJson(config, { answered: verified, missing }, streamJson),
  };
  const text = textOf(sum, verified, { residuals, interrupted });
  const isPartial = interrupted || hasFaults || missing.length > 0;
  const exitOf = (records: number) => {
    if (isPartial || residuals.some(({ residual }) => residual === null)) return verifyExits.failed;
    const addsUp = residuals.every(({ residual }) => residual === 0);
    if (records > 0 || !addsUp) return verifyExits.missing;
    const isWhole = verified.every(({ value }) => value.unexamined === null);
    return isWhole && sum.fates.letter_gone === 0 ? verifyExits.ok : verifyExits.attention;
  };
  const exit = exitOf(sum.fates.missing);
  if (flags.resend && !interrupted) {
    const found = { json, text, exit, exitAfter: exitOf(0), verified };
    return await resendMissing(io, flags, stores, found);
  }
  print(io, flags, json, text);
  return exit;
}

function reportFaults(
  io: CliIo,
  answered: readonly Answered<StreamVerified | Unverifiable>[],
): void {
  const faulty = answered.flatMap(({ store, value }) =>
    'faults' in value ? [{ store, value: value.faults }] : [],
  );
  if (faulty.length === 0) return;
  const text = linesOf(faulty, (faults, stores) => {
    const places = inShards(stores);
    const lines = faults.map((fault) => `processor: ${idFaultText(fault)}`);
    const last = `processor: nothing was verified${places}; the range of --from is a range of ids`;
    return [...lines, last].join('\n');
  });
  io.stderr.write(`${text}\n`);
}
