import { PassThrough } from 'node:stream';
import type { CliIo } from '../../src/cli/io.ts';
import type { Ended } from './command.ts';

/** Runs a command in this process, without a terminal: many of them take a moment only. */
export async function inProcess(
  env: Readonly<Record<string, string>>,
  command: (io: CliIo) => Promise<number>,
): Promise<Ended> {
  const [stdout, stderr] = [collector(), collector()];
  const io = {
    env: { TIMESCALEDB: 'optional', PROCESSOR_OPERATOR: 'anna', ...env },
    stdin: new PassThrough(),
    stdout: stdout.stream,
    stderr: stderr.stream,
    signal: new AbortController().signal,
  };
  const code = await command(io);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function collector() {
  const stream = new PassThrough({ encoding: 'utf8' });
  let text = '';
  stream.on('data', (piece: string) => {
    text += piece;
  });
  return { stream, text: () => text + String(stream.read() ?? '') };
}

/** A change that is confirmed, its result as JSON. */
export const yes = { json: true, dryRun: false, yes: true };
/** A change that is only shown, as text. */
export const dryRun = { json: false, dryRun: true, yes: false };
/** `verify` without --resend. */
export const noResend = { resend: false, rate: 1000, timeout: 60, dryRun: false, yes: false };
