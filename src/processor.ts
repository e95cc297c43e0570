#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { runDecode } from './cli/decode.ts';
import { run } from './main.ts';

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
    .action(async () => setExitCode(await run(process.env, build)));

  program
    .command('decode')
    .description('decode packets, given as hex or as lines on stdin, to one JSON line each')
    .argument('[hex]', 'the packet; without it lines are read from stdin')
    .option('--skip-crc', 'do not compare the CRC, for edited captures', false)
    .option('--io16', 'expect the 16-byte IO group after the 8-byte one', false)
    .addHelpText('after', '\nExit codes: 0 every input decoded, 1 an input failed.')
    .action(async (hex: string | undefined, options: { skipCrc: boolean; io16: boolean }) => {
      setExitCode(await runDecode({ hex, ...options }, process));
    });

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

await createProgram((code) => {
  process.exitCode = code;
}).parseAsync();
