#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { ChangeFlags } from './cli/change.ts';
import { type DecodeArgs, runDecode } from './cli/decode.ts';
import { runRehydrate } from './cli/device.ts';
import { runDoctor } from './cli/doctor.ts';
import type { CliIo, OutputFlags } from './cli/io.ts';
import { runMigrateStatus, runMigrateUp } from './cli/migrate.ts';
import { runPause, runResume } from './cli/pause.ts';
import { runRetention } from './cli/retention.ts';
import { runSimulate } from './cli/simulate.ts';
import { run } from './main.ts';
import { type FleetForm, fleetForms } from './simulator/fleet.ts';

/** The one executable: `processor <command>`. */
function createProgram(setExitCode: (code: number) => void): Command {
  const build = readBuild();
  const program = new Command('processor')
    .description('Teltonika records from a Redis Stream to TimescaleDB')
    .version(build.version)
    .showHelpAfterError();

  program
    .command('run')
    .description('run the service; configured by the environment, see .env.example')
    .addHelpText(
      'after',
      '\nExit codes: 0 stopped cleanly, 1 cannot go on, 70 panic (a dump was written), 75 drain budget spent, no progress, or a standing event loop.',
    )
    .action(async () => {
      const code = await run(process.env, build);
      setExitCode(code);
      // Whatever still holds the event loop must not hold up a deploy.
      setTimeout(() => process.exit(code), 1000).unref();
    });

  program
    .command('decode')
    .description('decode packets, given as hex or as lines on stdin, to one JSON line each')
    .argument('[hex]', 'the packet; without it lines are read from stdin')
    .option('--skip-crc', 'do not compare the CRC, for edited captures', false)
    .option('--io16', 'expect the 16-byte IO group after the 8-byte one', false)
    .option('--names', "show the IO elements' names, typed values and units", false)
    .option('--model <model>', 'for --names: the model, as FMC130, or its family', 'FMB')
    .addHelpText('after', '\nExit codes: 0 every input decoded, 1 an input failed.')
    .action(async (hex: string | undefined, options: Omit<DecodeArgs, 'hex'>) => {
      setExitCode(await runDecode({ hex, ...options }, process));
    });

  addSimulate(program, setExitCode);
  addLooking(program, setExitCode);
  addSwitches(program, setExitCode);
  addDatabase(program, setExitCode);
  return program;
}

/** What only looks. */
function addLooking(program: Command, setExitCode: (code: number) => void): void {
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

/** What changes running instances. */
function addSwitches(program: Command, setExitCode: (code: number) => void): void {
  const exits = '\nExit codes: 0 done, 1 failed, 2 not carried out.';
  changing(program.command('pause'))
    .description('stop consumption on all instances, now and until resume')
    .requiredOption('--reason <text>', 'why, for the audit line and the log')
    .addHelpText('after', exits)
    .action(async (flags: ChangeFlags & { reason: string }) =>
      setExitCode(await runPause(cliIo(), flags)),
    );
  changing(program.command('resume'))
    .description('start consumption again on all instances')
    .addHelpText('after', exits)
    .action(async (flags: ChangeFlags) => setExitCode(await runResume(cliIo(), flags)));
  const device = program.command('device').description('look at one device, or mend its state');
  changing(device.command('rehydrate'))
    .description('make running instances look the device up anew')
    .argument('<imei>', '15 digits')
    .addHelpText('after', exits)
    .action(async (imei: string, flags: ChangeFlags) =>
      setExitCode(await runRehydrate(cliIo(), imei, flags)),
    );
}

/** What looks after the table. */
function addDatabase(program: Command, setExitCode: (code: number) => void): void {
  const migrate = program.command('migrate').description('the schema of the database');
  migrate
    .command('status')
    .description('list the migrations: applied, pending, changed, or unknown to this version')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 up to date, 1 not up to date, or failed.')
    .action(async (flags: OutputFlags) => setExitCode(await runMigrateStatus(cliIo(), flags)));
  const exits = '\nExit codes: 0 done, 1 failed, 2 not carried out.';
  changing(migrate.command('up'))
    .description('apply what is pending, and the configured storage and policies')
    .addHelpText('after', exits)
    .action(async (flags: ChangeFlags) => setExitCode(await runMigrateUp(cliIo(), flags)));
  changing(program.command('retention'))
    .description('drop what is older than RETENTION, where the server has no policy that does it')
    .addHelpText('after', exits)
    .action(async (flags: ChangeFlags) => setExitCode(await runRetention(cliIo(), flags)));
}

/** The options of every command that changes something. */
function changing(command: Command): Command {
  return command
    .option('--json', 'print the result as one JSON line', false)
    .option('--dry-run', 'only tell what would be done', false)
    .option('--yes', 'do not ask', false)
    .option('--by <name>', 'who you are, for the audit line; default: your login');
}

function cliIo(): CliIo {
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  process.once('SIGTERM', () => interrupted.abort());
  const { env, stdin, stdout, stderr } = process;
  return { env, stdin, stdout, stderr, signal: interrupted.signal };
}

interface SimulateFlags {
  readonly redisUrl: string;
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

function addSimulate(program: Command, setExitCode: (code: number) => void): void {
  program
    .command('simulate')
    .description('send a simulated fleet to a stream, with a ledger of what was sent')
    .addOption(
      new Option('--redis-url <url>', 'the Redis to send to')
        .env('REDIS_URL')
        .default('redis://127.0.0.1:6379'),
    )
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
      '\nExit codes: 0 all was sent, 1 wrong options, or Redis or the file failed.',
    )
    .action(async (flags: SimulateFlags) => {
      const interrupted = new AbortController();
      process.once('SIGINT', () => interrupted.abort());
      process.once('SIGTERM', () => interrupted.abort());
      const { records, duration, rate, ledger, baseTime, maxBacklog, ...others } = flags;
      const options = {
        ...others,
        records: records ?? null,
        durationSeconds: duration ?? null,
        rate: rate ?? null,
        ledgerFile: ledger ?? null,
        baseTime: baseTime ?? null,
        maxBacklog: maxBacklog ?? null,
      };
      const { stdout, stderr } = process;
      setExitCode(await runSimulate(options, { stdout, stderr, signal: interrupted.signal }));
    });
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number.');
  return Number(text);
}

function readBuild(): { version: string; revision: string } {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  );
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest
      ? String(manifest.version)
      : 'unknown';
  return { version, revision: process.env.PROCESSOR_REVISION ?? 'unknown' };
}

await createProgram((code) => {
  process.exitCode = code;
}).parseAsync();
