import { once } from 'node:events';
import { userInfo } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';

/** The options of every command that changes something. */
export interface ChangeFlags extends OutputFlags {
  /** Reports what the command would do and changes nothing. */
  readonly dryRun: boolean;
  /** Gives consent without a question. */
  readonly yes: boolean;
  /** The operator's name, for the audit line. */
  readonly by?: string;
}

type Consent = 'given' | 'dry_run' | 'refused';

/** A change that a command makes after consent. */
export interface Change {
  /** In the imperative: "remove the consumer x". */
  readonly what: string;
  /** What a dry run prints as JSON, beside `dry_run`. */
  readonly planned: object;
  /** True: there is nothing to change, so the operator is not asked. */
  readonly isEmpty?: boolean;
  /** @returns what was done, or the exit code of a change that failed and has said why on stderr */
  readonly carryOut: () => Promise<Done | CliExit>;
}

export interface Done {
  readonly result: object;
  readonly text: string;
  /** Writes the audit line; absent where the change itself wrote it, or nothing was changed. */
  readonly audit?: () => Promise<void>;
  readonly exit?: CliExit;
}

/**
 * Makes a change the same way for every command: a dry run only prints it; otherwise the operator
 * gives consent, the change is made, its audit line written and its result printed.
 */
export async function makeChange(io: CliIo, flags: ChangeFlags, change: Change): Promise<CliExit> {
  const { what, planned, isEmpty = false, carryOut } = change;
  const consent = isEmpty && !flags.dryRun ? 'given' : await askConsent(io, flags, what);
  if (consent === 'refused') return cliExits.refused;
  if (consent === 'dry_run') {
    print(io, flags, { dry_run: true, ...planned }, `would ${what}`);
    return cliExits.ok;
  }
  const done = await carryOut();
  if (typeof done === 'number') return done;
  await done.audit?.();
  print(io, flags, done.result, done.text);
  return done.exit ?? cliExits.ok;
}

/** Asks on a terminal; without one only `--yes` gives consent. */
export async function askConsent(io: CliIo, flags: ChangeFlags, what: string): Promise<Consent> {
  if (flags.dryRun) return 'dry_run';
  if (flags.yes) return 'given';
  if (io.stdin.isTTY !== true) {
    io.stderr.write(
      `processor: ${what}: not done; add --yes, or --dry-run to see what it would do\n`,
    );
    return 'refused';
  }
  const answer = await ask(io, `${what}? [y/N] `);
  if (answer === null) io.stderr.write('\nprocessor: not done\n');
  return /^y(es)?$/i.test(answer?.trim() ?? '') ? 'given' : 'refused';
}

/** Returns the operator's answer, or null after Ctrl-C, Ctrl-D, a stop or a hang-up. */
async function ask(io: CliIo, question: string): Promise<string | null> {
  const asking = createInterface({ input: io.stdin, output: io.stderr });
  // Node never settles the question when the terminal goes away.
  const closed = once(asking, 'close').then(() => null);
  try {
    return await Promise.race([asking.question(question, { signal: io.signal }), closed]);
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') return null;
    throw error;
  } finally {
    asking.close();
  }
}

/** The operator's name for the audit: as given, else from the environment, else the login. */
export function operatorOf(io: CliIo, flags: Pick<ChangeFlags, 'by'>): string {
  const name = flags.by ?? io.env.PROCESSOR_OPERATOR ?? io.env.SUDO_USER ?? loginName();
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}

function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    // A numeric user of a container has no name.
    return 'unknown';
  }
}
