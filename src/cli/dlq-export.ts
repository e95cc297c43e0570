import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import type { Command } from 'commander';
import { exportLine } from './dlq/dead-letter-json.ts';
import { type FilterFlags, matching } from './dlq/matching.ts';
import { filtered, maxDeadLetters } from './dlq/options.ts';
import { withDeadLetters } from './dlq/shard-id.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags } from './io.ts';
import { cliIo, readExits, type SetExitCode } from './options.ts';
import { printFound, reportMissing } from './shard-text.ts';
import { exitOf, type Missing } from './shards.ts';

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
  return withDeadLetters(io, flags, async ({ config, streams }, asked) => {
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
    const missing: Missing[] = [];
    for await (const found of matching(streams, asked, 'oldest_first', missing)) {
      if (io.signal.aborted) return cliExits.failed;
      if (!sink.write(exportLine(found))) await once(sink, 'drain');
      deadLetters += 1;
    }
    if (isStdout) {
      reportMissing(io, missing);
      return exitOf(missing);
    }
    sink.end();
    await once(sink, 'close');
    const result = { letters: deadLetters, to: flags.to };
    const text = `${deadLetters} dead letters written to ${flags.to}`;
    return printFound(io, flags, config, { result, text, missing });
  });
}

/** Creates a file that only its owner reads, because dead letters hold devices and positions. */
async function openNew(path: string): Promise<Writable> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  await once(file, 'open');
  return file;
}
