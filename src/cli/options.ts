import { Writable } from 'node:stream';
import { type Command, InvalidArgumentError } from 'commander';
import { parseIsoMs } from '../teltonika/iso-time.ts';
import type { CliIo } from './io.ts';
import { printableLines } from './printable.ts';

/** Sets the exit code of the program. */
export type SetExitCode = (code: number) => void;

/** The exit codes of every command that changes something, for its help. */
export const changeExits = '\nExit codes: 0 done, 1 failed, 2 not carried out.';

/** The exit codes of most read-only commands, for their help. */
export const readExits = '\nExit codes: 0 done, 1 failed.';

/** The options of every command that changes something. */
export function changing(command: Command): Command {
  return command
    .option('--json', 'print the result as one JSON line', false)
    .option('--dry-run', 'print what would be done and change nothing', false)
    .option('--yes', 'confirm without a question', false)
    .option('--by <name>', 'your name in the audit; default: your login');
}

/** The streams of the process; SIGINT and SIGTERM abort the signal. */
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

/** Parses the value of an option as a whole number; commander reports the error. */
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

/** Parses a time, as ISO 8601 in UTC or as a duration before now, to epoch milliseconds. */
export function instant(text: string): number {
  const ago = /^(\d{1,6})([smhd])$/.exec(text);
  const unit = unitsMs[ago?.[2] ?? ''];
  if (ago !== null && unit !== undefined) return Date.now() - Number(ago[1]) * unit;
  const ms = parseIsoMs(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text);
  if (ms === null || ms < 0) {
    throw new InvalidArgumentError('expected a time such as 2026-01-31T12:00:00Z, or 30m, 2h, 7d.');
  }
  return ms;
}

/** Parses a whole number of at least 1. */
export function positive(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError('expected at least 1.');
  return value;
}

/** The values of an option that may be repeated. */
export function collect(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}
