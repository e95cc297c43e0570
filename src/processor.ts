#!/usr/bin/env node
import './lifecycle/node-version.ts';
import './lifecycle/debug-output.ts';
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { type DecodeArgs, runDecode } from './cli/decode.ts';
import { cliExits } from './cli/io.ts';
import { addConfig } from './cli/register/config.ts';
import { addDatabase } from './cli/register/database.ts';
import { addDlq } from './cli/register/dlq.ts';
import { addLooking } from './cli/register/looking.ts';
import { addCheckLedger, addSimulate } from './cli/register/simulate.ts';
import { addStream } from './cli/register/stream.ts';
import { addSwitches } from './cli/register/switches.ts';
import { addVerify } from './cli/register/verify.ts';
import { exitCodes } from './lifecycle/signals.ts';
import { run } from './main.ts';
import { scrub } from './observability/scrub.ts';

/** The one executable: `processor <command>`. */
function createProgram(setExitCode: (code: number) => void): Command {
  const build = readBuild();
  const program = new Command('processor')
    .description('Teltonika records from a Redis Stream to TimescaleDB')
    .version(build.version)
    .showHelpAfterError()
    // Also of every command: they take it over when they are added.
    .exitOverride();

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
    .option('--io16', 'try the IO layout with a 16-byte group first', false)
    .option('--names', "show the IO elements' names, typed values and units", false)
    .option('--model <model>', 'for --names: the model, as FMC130, or its family', 'FMB')
    .addHelpText('after', '\nExit codes: 0 every input decoded, 1 an input failed.')
    .action(async (hex: string | undefined, options: Omit<DecodeArgs, 'hex'>) => {
      setExitCode(await runDecode({ hex, ...options }, process));
    });

  addSimulate(program, setExitCode);
  addCheckLedger(program, setExitCode);
  addConfig(program, setExitCode);
  addLooking(program, setExitCode);
  addSwitches(program, setExitCode);
  addStream(program, setExitCode);
  addDlq(program, setExitCode);
  addVerify(program, setExitCode);
  addDatabase(program, setExitCode);
  return program;
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

try {
  await createProgram((code) => {
    process.exitCode = code;
  }).parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Help that was asked for ends with 0, wrong usage with 2; anything else is a bug. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? cliExits.ok : cliExits.refused;
  // A bug in a command: its message may quote what it was given, a login included.
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`processor: an error nobody expected; please report it\n${scrub(text)}\n`);
  return exitCodes.panic;
}
