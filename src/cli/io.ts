import type { Readable, Writable } from 'node:stream';
import { jsonLine, printableLines } from './printable.ts';

/** The environment and streams of a command; the program passes those of the process. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & {
    readonly isTTY?: boolean;
    readonly columns?: number;
    readonly rows?: number;
  };
  readonly stderr: Writable;
  /** Ends a command that waits or watches. */
  readonly signal: AbortSignal;
}

/** The exit codes of commands, as `--help` and OPERATIONS.md document them. */
export const cliExits = {
  ok: 0,
  /** Something failed or was unreachable; stderr says what. */
  failed: 1,
  /** The command was not carried out: wrong usage, or the operator did not confirm. */
  refused: 2,
} as const;
export type CliExit = (typeof cliExits)[keyof typeof cliExits];

/** Every command has `--json`. */
export interface OutputFlags {
  readonly json: boolean;
}

/**
 * Prints a result: one JSON line, or text for people; either can be shown on a terminal. Nothing for
 * an empty text, as of a change that no shard carried out.
 */
export function print(io: CliIo, flags: OutputFlags, result: object, text: string): void {
  if (!flags.json && text === '') return;
  io.stdout.write(`${flags.json ? jsonLine(result) : printableLines(text)}\n`);
}
