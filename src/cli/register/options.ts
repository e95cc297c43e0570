import { type Command, InvalidArgumentError } from 'commander';
import type { CliIo } from '../io.ts';

/** How a command's action tells the program what to exit with. */
export type SetExitCode = (code: number) => void;

/** The exit codes of every command that changes something, for its help. */
export const changeExits = '\nExit codes: 0 done, 1 failed, 2 not carried out.';

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
  const { env, stdin, stdout, stderr } = process;
  return { env, stdin, stdout, stderr, signal: interrupted.signal };
}

/** An option's value as a whole number; commander tells the user what is wrong. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number.');
  return Number(text);
}
