#!/usr/bin/env node
import './lifecycle/node-version.ts';
import './lifecycle/debug-output.ts';
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { commands } from './cli/commands.ts';
import { cliExits } from './cli/io.ts';
import { exitCodes } from './lifecycle/signals.ts';
import { scrub } from './observability/scrub.ts';

/**
 * The one executable: `processor <command>`. It loads only the command that was asked for; of the
 * others it knows the name and the description.
 */
async function createProgram(
  words: readonly string[],
  setExitCode: (code: number) => void,
): Promise<Command> {
  const build = readBuild();
  const program = new Command('processor')
    .description('Teltonika records from a Redis Stream to TimescaleDB')
    .version(build.version)
    .showHelpAfterError()
    // Before the commands are added, because they copy it.
    .exitOverride();

  program
    .command('run')
    .description('run the service; configured by the environment, see .env.example')
    .addHelpText(
      'after',
      '\nExit codes: 0 stopped cleanly, 1 failed, 70 panic (a dump was written), 75 drain budget exceeded, backlog without progress, or blocked event loop.',
    )
    .action(async () => {
      const { run } = await import('./main.ts');
      const code = await run(process.env, build);
      setExitCode(code);
      // A handle that is still open must not hold up a deploy.
      setTimeout(() => process.exit(code), 1000).unref();
    });

  const asked = commandOf(words);
  for (const { name, description, load } of commands) {
    const command = program.command(name).description(description);
    if (name === asked) (await load()).register(command, setExitCode);
  }
  return program;
}

/** The name of the command; `processor help <command>` names it second. */
function commandOf(words: readonly string[]): string | undefined {
  const [first, second] = words.filter((word) => !word.startsWith('-'));
  return first === 'help' ? second : first;
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
  const program = await createProgram(process.argv.slice(2), (code) => {
    process.exitCode = code;
  });
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Help that was asked for ends with 0, wrong usage with 2; anything else is a bug. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? cliExits.ok : cliExits.refused;
  // A bug in a command: its message may quote what it was given, a login included.
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`processor: unexpected error, a bug; please report it\n${scrub(text)}\n`);
  return exitCodes.panic;
}
