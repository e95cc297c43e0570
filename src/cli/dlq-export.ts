import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import type { Command } from 'commander';
import { exportLine } from './dlq/dead-letter-json.ts';
import { type FilterFlags, matching } from './dlq/matching.ts';
import { filtered, maxDeadLetters } from './dlq/options.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, readExits, type SetExitCode } from './options.ts';
import { withStores } from './stores.ts';

/** Registers `processor dlq export`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  filtered(command, maxDeadLetters)
    .description('write dead letters as NDJSON, byte for byte, oldest first')
    .requiredOption('--to <file>', 'a file that does not exist yet, or - for stdout')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (flags: OutputFlags & FilterFlags & { to: string }) =>
      setExitCode(await runDlqExport(cliIo(), flags)),
    );
}

/** `processor dlq export`: the dead letters as NDJSON, byte for byte, oldest first. */
export function runDlqExport(
  io: CliIo,
  flags: OutputFlags & FilterFlags & { to: string },
): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const isStdout = flags.to === '-';
    let sink: Writable = io.stdout;
    if (!isStdout) {
      try {
        sink = await openNew(flags.to);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        io.stderr.write(`processor: cannot write to ${flags.to}: ${why}\n`);
        return cliExits.failed;
      }
    }
    let deadLetters = 0;
    for await (const deadLetter of matching(stores, flags, 'oldest_first')) {
      if (io.signal.aborted) return cliExits.failed;
      if (!sink.write(exportLine(deadLetter))) await once(sink, 'drain');
      deadLetters += 1;
    }
    if (isStdout) return cliExits.ok;
    sink.end();
    await once(sink, 'close');
    print(
      io,
      flags,
      { letters: deadLetters, to: flags.to },
      `${deadLetters} dead letters written to ${flags.to}`,
    );
    return cliExits.ok;
  });
}

/** Creates a file that only its owner reads, because dead letters hold devices and positions. */
async function openNew(path: string): Promise<Writable> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  await once(file, 'open');
  return file;
}
