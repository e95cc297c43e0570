import { DependencyError } from '../core/types.ts';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { type ChangeFlags, operatorOf } from './change.ts';
import type { CliIo } from './io.ts';
import type { StreamStore } from './shards.ts';
import type { Stores } from './stores.ts';

/**
 * Writes the audit line of a change in a stream, next to its keys. When a shard fails, the change
 * stands and the line goes to stderr.
 * @throws DependencyError without shards
 */
export async function audit(
  io: CliIo,
  flags: ChangeFlags,
  store: StreamStore,
  command: string,
  detail: string,
): Promise<void> {
  try {
    await write(io, flags, store, command, detail);
  } catch (error) {
    const { shard } = store.stream;
    if (shard === null || !(error instanceof DependencyError)) throw error;
    io.stderr.write(lineText(io, flags, `shard ${shard}`, error.code, { command, detail }));
  }
}

async function write(
  io: CliIo,
  flags: ChangeFlags,
  { stream, redis }: StreamStore,
  command: string,
  detail: string,
): Promise<void> {
  const by = operatorOf(io, flags);
  await createSwitches(redis, controlKeys(stream.key)).note({ by, command, detail });
}

/**
 * Writes the audit line of a finished change in the database, with shards into the first one that
 * takes it. The audit is in Redis: when Redis is unavailable, the change stands and the line goes to
 * stderr.
 */
export async function noteChange(
  io: CliIo,
  flags: ChangeFlags,
  { streams }: Stores,
  command: string,
  detail: string,
): Promise<void> {
  let code = '';
  for (const store of streams) {
    try {
      return await write(io, flags, store, command, detail);
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
      code = error.code;
    }
  }
  io.stderr.write(lineText(io, flags, 'Redis', code, { command, detail }));
}

function lineText(
  io: CliIo,
  flags: ChangeFlags,
  who: string,
  code: string,
  { command, detail }: { readonly command: string; readonly detail: string },
): string {
  const line = `by=${operatorOf(io, flags)} command=${command} detail=${detail}`;
  return `processor: done, but ${who} took no audit line (${code}): ${line}\n`;
}
