import { type Command, Option } from 'commander';
import { processHost } from '../../config/host.ts';
import { formatProblems } from '../../config/load.ts';
import { loadRedisLogin } from '../../config/redis-login.ts';
import { type FleetForm, fleetForms } from '../../simulator/fleet.ts';
import { runCheckLedger } from '../check-ledger.ts';
import { cliExits } from '../io.ts';
import { runSimulate } from '../simulate.ts';
import { cliIo, type SetExitCode, wholeNumber } from './options.ts';

interface SimulateFlags {
  readonly redisUrl?: string;
  readonly stream: string;
  readonly devices: number;
  readonly records?: number;
  readonly duration?: number;
  readonly rate?: number;
  readonly seed: number;
  readonly form: FleetForm;
  readonly packetRecords: number;
  readonly plain: boolean;
  readonly ledger?: string;
  readonly baseTime?: number;
  readonly maxBacklog?: number;
  readonly json: boolean;
}

/** What sends a fleet. */
export function addSimulate(program: Command, setExitCode: SetExitCode): void {
  program
    .command('simulate')
    .description('send a simulated fleet to a stream, with a ledger of what was sent')
    .option('--redis-url <url>', 'the Redis to send to, in place of REDIS_URL')
    .addOption(
      new Option('--stream <key>', 'the stream to send to')
        .env('REDIS_TELEMETRY_STREAM')
        .default('telemetry:teltonika'),
    )
    .option('--devices <count>', 'trackers in the fleet', wholeNumber, 100)
    .option('--records <count>', 'end after this many records', wholeNumber)
    .option('--duration <seconds>', 'end after this time', wholeNumber)
    .option('--rate <records>', 'records a second; without it flat out', wholeNumber)
    .option('--seed <number>', 'the same seed and base time give the same entries', wholeNumber, 1)
    .addOption(
      new Option('--form <form>', 'a: payloads, b: frames').choices(fleetForms).default('mixed'),
    )
    .option('--packet-records <count>', 'records in a packet, on average', wholeNumber, 10)
    .option('--plain', 'only good records, each once and in order', false)
    .option('--ledger <file>', 'write what was sent to this file (NDJSON)')
    .option('--base-time <ms>', '"now" of the fleet, epoch milliseconds', wholeNumber)
    .option('--max-backlog <entries>', 'wait while more entries are unprocessed', wholeNumber)
    .option('--json', 'print the summary as JSON', false)
    .addHelpText(
      'after',
      '\nREDIS_URL, REDIS_PASSWORD, REDIS_PASSWORD_FILE and REDIS_CA_FILE are read as the service reads them.' +
        '\nExit codes: 0 all was sent, 1 Redis or the file failed, 2 wrong options.',
    )
    .action(async (flags: SimulateFlags) => {
      const { redisUrl, records, duration, rate, ledger, baseTime, maxBacklog, ...others } = flags;
      const login = readLogin(redisUrl);
      if (!login.ok) {
        process.stderr.write(`${formatProblems(login.problems)}\n`);
        return setExitCode(cliExits.failed);
      }
      const options = {
        ...others,
        redisUrl: login.url,
        redisTls: login.tls,
        records: records ?? null,
        durationSeconds: duration ?? null,
        rate: rate ?? null,
        ledgerFile: ledger ?? null,
        baseTime: baseTime ?? null,
        maxBacklog: maxBacklog ?? null,
      };
      setExitCode(await runSimulate(options, cliIo()));
    });
}

interface CheckLedgerOptions {
  readonly lettersAfter?: string | null;
  readonly json: boolean;
}

/** What proves that a fleet's records arrived. */
export function addCheckLedger(program: Command, setExitCode: SetExitCode): void {
  program
    .command('check-ledger <file...>')
    .description('compare the ledgers of simulate with the table and the dead letters')
    .option('--letters-after <id>', 'compare only dead letters after this id')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText(
      'after',
      '\nRun it when every entry is settled. Exit codes: 0 everything is where it should be, 1 failed, 4 something differs.',
    )
    .action(async (files: string[], { lettersAfter = null, json }: CheckLedgerOptions) =>
      setExitCode(await runCheckLedger(cliIo(), { files, lettersAfter, json })),
    );
}

/** The Redis of the environment, where the option does not name another. */
function readLogin(redisUrl: string | undefined) {
  const { REDIS_URL: fromEnv, REDIS_URL_FILE: fromFile, ...env } = process.env;
  const urls =
    redisUrl === undefined
      ? { REDIS_URL: fromEnv, REDIS_URL_FILE: fromFile }
      : { REDIS_URL: redisUrl };
  return loadRedisLogin({ ...env, ...urls }, processHost());
}
