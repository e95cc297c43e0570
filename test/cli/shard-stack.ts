import { expect } from 'vitest';
import type { CliIo } from '../../src/cli/io.ts';
import { inProcess } from './in-process.ts';
import { fillShard } from './shard-world.ts';
import { useStack } from './stack.ts';

export const shards = [0, 1, 2, 3];

export type Command<Flags = object> = (io: CliIo, flags: Flags) => Promise<number>;

/** Four shards on one Redis, fresh for each test, and the commands in this process. */
export function useShards() {
  const stack = useStack();
  const env = () => ({ ...stack.env(), STREAM_SHARDS: '4', READ_BLOCK_MS: '10000' });

  function run(command: Command, more: Readonly<Record<string, string>> = {}) {
    return inProcess({ ...env(), ...more }, (io) => command(io, {}));
  }

  return {
    stack,
    run,
    /** The result of a command that fails in nothing. */
    async resultOf(command: Command) {
      const { stdout, stderr } = await run(command);
      expect(stderr).toBe('');
      return JSON.parse(stdout);
    },
    /** Fills shards with equal ids, and leaves one empty. */
    async fillSome(): Promise<void> {
      const numbers = [
        [3, 2, 2],
        [4, 1, 3],
        [0, 0, 0],
        [1, 0, 1],
      ];
      for (const [shard, [entries = 0, delivered = 0, deadLetters = 0]] of numbers.entries()) {
        const fill = { entries, delivered, acknowledged: 0, deadLetters };
        await fillShard(stack.redis, shard, fill);
      }
    },
  };
}
