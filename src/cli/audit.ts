import { DependencyError } from '../core/types.ts';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { type ChangeFlags, operatorOf } from './change.ts';
import type { CliIo } from './io.ts';
import type { Stores } from './stores.ts';

/** Writes the audit line of a change in Redis. @throws DependencyError */
export async function audit(
  io: CliIo,
  flags: ChangeFlags,
  { config, redis }: Stores,
  command: string,
  detail: string,
): Promise<void> {
  const by = operatorOf(io, flags);
  await createSwitches(redis, controlKeys(config.stream.key)).note({ by, command, detail });
}

/**
 * Writes the audit line of a finished change in the database. The audit is in Redis: when Redis is
 * unavailable, the change stands and the line goes to stderr.
 */
export async function noteChange(
  io: CliIo,
  flags: ChangeFlags,
  stores: Stores,
  command: string,
  detail: string,
): Promise<void> {
  try {
    await audit(io, flags, stores, command, detail);
  } catch (error) {
    if (!(error instanceof DependencyError)) throw error;
    const by = operatorOf(io, flags);
    io.stderr.write(
      `processor: done, but Redis took no audit line (${error.code}): by=${by} command=${command} detail=${detail}\n`,
    );
  }
}
