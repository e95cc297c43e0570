import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `processor <words>` as a real process with this environment. */
export async function runCommand(
  env: Readonly<Record<string, string>>,
  words: readonly string[],
): Promise<Ended> {
  const child = spawn(process.execPath, [programFile(), ...words], {
    env: { ...childEnvironment(), TIMESCALEDB: 'optional', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return await ended(child);
}

/** What a process without a terminal writes, until it has ended. */
export async function ended(child: ChildProcessByStdio<null, Readable, Readable>): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}
