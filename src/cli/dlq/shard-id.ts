import { type CliExit, type CliIo, cliExits } from '../io.ts';
import type { ShardFlags } from '../shards.ts';
import { type Stores, withStores } from '../stores.ts';

/** An id as commands print it: with shards `3:1767225600000-0`, else without the shard. */
const idPattern = /^(?:(\d{1,4}):)?(\d{1,15}-\d{1,15})$/;

/** Whether the text is the id of a dead letter. */
export function isShownId(text: string): boolean {
  return idPattern.test(text);
}

/** The id within its stream. */
export function bareId(shown: string): string {
  return idPattern.exec(shown)?.[2] ?? shown;
}

interface IdFlags extends ShardFlags {
  readonly id?: string;
}

/**
 * Runs a command on dead letters, and takes the shard from an id that names it. An id that does not
 * say its shard is refused, because every shard may have one.
 */
export function withDeadLetters<Flags extends IdFlags>(
  io: CliIo,
  flags: Flags,
  command: (stores: Stores, flags: Flags) => Promise<CliExit>,
): Promise<CliExit> {
  const { id, shard } = flags;
  const refuse = (problem: string) => {
    io.stderr.write(`processor: ${id}: ${problem}\n`);
    return cliExits.refused;
  };
  if (id === undefined) return withStores(io, (stores) => command(stores, flags), flags);
  const named = shardOf(id);
  if (named !== undefined && shard !== undefined && named !== shard) {
    return Promise.resolve(refuse(`the id is of another shard than --shard ${shard}`));
  }
  const asked = { ...flags, id: bareId(id), shard: named ?? shard };
  const run = (stores: Stores) => {
    if (stores.config.shards === null || asked.shard !== undefined) return command(stores, asked);
    return Promise.resolve(
      refuse('with STREAM_SHARDS an id names its shard, as 3:1767225600000-0'),
    );
  };
  return withStores(io, run, asked.shard === undefined ? {} : { shard: asked.shard });
}

function shardOf(shown: string): number | undefined {
  const shard = idPattern.exec(shown)?.[1];
  return shard === undefined ? undefined : Number(shard);
}
