import type { Command } from 'commander';
import { type DeadLetterTotals, readDeadLetterTotals } from '../stream/dead-letter-totals.ts';
import { callRedis } from '../stream/redis.ts';
import { type FilterFlags, matching } from './dlq/matching.ts';
import { filtered, maxDeadLetters } from './dlq/options.ts';
import { withDeadLetters } from './dlq/shard-id.ts';
import { createTally, renderTally } from './dlq/tally.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags } from './io.ts';
import { cliIo, readExits, type SetExitCode } from './options.ts';
import { printFound, reportMissing } from './shard-text.ts';
import { type Answered, type Missing, overShards, type StreamStore } from './shards.ts';

/** Registers `processor dlq stats`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  filtered(command, maxDeadLetters)
    .description('count dead letters by reason, stage and device')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (flags: OutputFlags & FilterFlags) =>
      setExitCode(await runDlqStats(cliIo(), flags)),
    );
}

/** `processor dlq stats`: how many dead letters, by reason, stage and device. */
export function runDlqStats(io: CliIo, flags: OutputFlags & FilterFlags): Promise<CliExit> {
  return withDeadLetters(io, flags, async ({ config, streams }, asked) => {
    const sizes = await overShards(streams, sizeOf);
    const places = sizes.answered.map(({ store }) => store);
    const missing: Missing[] = [...sizes.missing];
    if (places.length === 0) {
      reportMissing(io, missing);
      return cliExits.failed;
    }
    const tally = createTally();
    const counted = new Map<StreamStore, number>();
    for await (const found of matching(places, asked, 'newest_first', missing)) {
      tally.add(found);
      counted.set(found.store, (counted.get(found.store) ?? 0) + 1);
    }
    const shards = shardsOf(sizes.answered, counted);
    const result = { ...tally.result(), ...sumOf(sizes.answered) };
    const text = renderTally(result, shards, Date.now());
    const json = config.shards === null ? result : { ...result, shards };
    return printFound(io, flags, config, { result: json, text, missing });
  });
}

interface Size extends DeadLetterTotals {
  readonly length: number;
}

async function sizeOf({ stream, redis }: StreamStore): Promise<Size> {
  return await callRedis(async () => {
    const client = await redis();
    const length = await client.xlen(stream.deadLetterKey);
    return { length, ...(await readDeadLetterTotals(client, stream.key)) };
  });
}

/** The sizes and the limits of all streams together. */
function sumOf(sizes: readonly Answered<Size>[]) {
  const sum = (pick: (one: Answered<Size>) => number) =>
    sizes.reduce((total, one) => total + pick(one), 0);
  const isCounted = sizes.every(({ value }) => value.bytes !== null);
  return {
    length: sum(({ value }) => value.length),
    max_entries: sum(({ store }) => store.stream.deadLetterMaxEntries),
    bytes: isCounted ? sum(({ value }) => value.bytes ?? 0) : null,
    max_bytes: sum(({ store }) => store.stream.deadLetterStreamMaxBytes),
    dropped_entries: sum(({ value }) => value.droppedEntries),
    dropped_bytes: sum(({ value }) => value.droppedBytes),
  };
}

function shardsOf(sizes: readonly Answered<Size>[], counted: ReadonlyMap<StreamStore, number>) {
  return sizes.flatMap(({ store, value: { length, bytes, droppedEntries, droppedBytes } }) => {
    const { shard } = store.stream;
    if (shard === null) return [];
    const dropped = { dropped_entries: droppedEntries, dropped_bytes: droppedBytes };
    return [{ shard, letters: counted.get(store) ?? 0, length, bytes, ...dropped }];
  });
}
