import { once } from 'node:events';
import { userInfo } from 'node:os';
import { createInterface } from 'node:readline/promises';
import type { CliIo, OutputFlags } from './io.ts';

/** Every command that changes something has these. */
export interface ChangeFlags extends OutputFlags {
  /** Tells what would be done and does nothing. */
  readonly dryRun: boolean;
  /** Does not ask. */
  readonly yes: boolean;
  /** Who is at the keyboard, for the audit line. */
  readonly by?: string;
}

/** Whether to go on with a change. */
export type Consent = 'given' | 'dry_run' | 'refused';

/** Asks on a terminal; without one only `--yes` gives consent. */
export async function askConsent(io: CliIo, flags: ChangeFlags, what: string): Promise<Consent> {
  if (flags.dryRun) return 'dry_run';
  if (flags.yes) return 'given';
  if (io.stdin.isTTY !== true) {
    io.stderr.write(`processor: ${what}: not done; add --yes, or --dry-run to only look\n`);
    return 'refused';
  }
  const answer = await ask(io, `${what}? [y/N] `);
  if (answer === null) io.stderr.write('\nprocessor: not done\n');
  return /^y(es)?$/i.test(answer?.trim() ?? '') ? 'given' : 'refused';
}

/** The line that the operator answers with; null after Ctrl-C, Ctrl-D, a stop or a hang-up. */
async function ask(io: CliIo, question: string): Promise<string | null> {
  const asking = createInterface({ input: io.stdin, output: io.stderr });
  // Node leaves the question open for ever when the terminal goes away.
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
