import { Writable } from 'node:stream';
import { type Command, InvalidArgumentError } from 'commander';
import { parseIsoMs } from '../teltonika/iso-time.ts';
import type { CliIo } from './io.ts';
import { printableLines } from './printable.ts';

/** How a command's action tells the program what to exit with. */
export type SetExitCode = (code: number) => void;

/** The exit codes of every command that changes something, for its help. */
export const changeExits = '\nExit codes: 0 done, 1 failed, 2 not carried out.';

/** The exit codes of most read-only commands, for their help. */
export const readExits = '\nExit codes: 0 done, 1 failed.';

/** The options of every command that changes something. */
export function changing(command: Command): Command {
  return command
    .option('--json', 'print the result as one JSON line', false)
    .option('--dry-run', 'only tell what would be done', false)
    .option('--yes', 'do not ask', false)
    .option('--by <name>', 'who you are, for the audit line; default: your login');
}

/** The process itself, with an end by SIGINT or SIGTERM. */
export function cliIo(): CliIo {
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  process.once('SIGTERM', () => interrupted.abort());
  const { env, stdin, stdout } = process;
  const stderr = new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, done) => {
      process.stderr.write(printableLines(String(chunk)), done);
    },
  });
  return { env, stdin, stdout, stderr, signal: interrupted.signal };
}

/** An option's value as a whole number; commander tells the user what is wrong. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number.');
  return Number(text);
}

const unitsMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A time, as ISO 8601 in UTC or as how long ago it was; epoch milliseconds. */
export function instant(text: string): number {
  const ago = /^(\d{1,6})([smhd])$/.exec(text);
  const unit = unitsMs[ago?.[2] ?? ''];
  if (ago !== null && unit !== undefined) return Date.now() - Number(ago[1]) * unit;
  const ms = parseIsoMs(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text);
  if (ms === null || ms < 0) {
    throw new InvalidArgumentError('expected a time, as 2026-01-31T12:00:00Z, or 30m, 2h, 7d.');
  }
  return ms;
}

/** A whole number of 1 or more. */
export function positive(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError('expected 1 or more.');
  return value;
}

/** The values of an option that may be repeated. */
export function collect(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}
