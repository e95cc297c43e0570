import type { Command } from 'commander';
import { removeEntries } from '../stream/remove-entries.ts';
import { audit } from './audit.ts';
import type { ChangeFlags, Done } from './change.ts';
import { changeAnswered } from './dlq/change-answered.ts';
import { auditFilter, filterText, isEmptyFilter } from './dlq/filter.ts';
import { type FilterFlags, matching } from './dlq/matching.ts';
import { filtered, maxDeadLetters } from './dlq/options.ts';
import { withDeadLetters } from './dlq/shard-id.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { reportUnchanged, shardLines, shardsJson } from './shard-text.ts';
import {
  exitOf,
  type Missing,
  overShards,
  type StreamStore,
  untouched,
  without,
} from './shards.ts';
import type { Stores } from './stores.ts';

/** Registers `processor dlq purge`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(filtered(command, maxDeadLetters))
    .description('delete dead letters for good')
    .option('--all', 'all dead letters, without a filter', false)
    .addHelpText('after', changeExits)
    .action(async (flags: PurgeFlags) => setExitCode(await runDlqPurge(cliIo(), flags)));
}

export interface PurgeFlags extends ChangeFlags, FilterFlags {
  readonly all: boolean;
}

/** `processor dlq purge`: deletes dead letters for good. */
export function runDlqPurge(io: CliIo, flags: PurgeFlags): Promise<CliExit> {
  return withDeadLetters(io, flags, async (stores, asked) => {
    if (!flags.all && isEmptyFilter(flags)) {
      io.stderr.write(
        'processor: select dead letters (--reason, --device …), or purge all of them with --all\n',
      );
      return cliExits.refused;
    }
    const { ids, missing } = await idsOf(stores, asked);
    const count = [...ids.values()].reduce((sum, list) => sum + list.length, 0);
    return await changeAnswered(
      io,
      flags,
      stores,
      { stores: [...ids.keys()], missing },
      (where) => ({
        what: `delete ${count} dead letters for good${where} (${filterText(asked)})`,
        planned: { letters: count, purged: 0 },
        isEmpty: count === 0,
        carryOut: () => purge(io, asked, stores, { ids, count, missing }),
      }),
    );
  });
}

type Ids = ReadonlyMap<StreamStore, readonly string[]>;

/** The ids of each stream that has any, and of the only one without shards. */
async function idsOf(
  { config, streams }: Stores,
  flags: FilterFlags,
): Promise<{ readonly ids: Ids; readonly missing: readonly Missing[] }> {
  const ids = new Map<StreamStore, string[]>();
  if (config.shards === null) for (const store of streams) ids.set(store, []);
  const missing: Missing[] = [];
  for await (const { store, deadLetter } of matching(streams, flags, 'oldest_first', missing)) {
    const list = ids.get(store);
    if (list === undefined) ids.set(store, [deadLetter.id]);
    else list.push(deadLetter.id);
  }
  const whole = without(streams, missing).filter((store) => ids.has(store));
  return {
    ids: new Map(whole.map((store) => [store, ids.get(store) ?? []])),
    missing: untouched(missing),
  };
}

async function purge(
  io: CliIo,
  flags: PurgeFlags,
  { config }: Stores,
  found: { readonly ids: Ids; readonly count: number; readonly missing: readonly Missing[] },
): Promise<Done> {
  const answers = await overShards([...found.ids.keys()], async (store) => {
    const ids = found.ids.get(store) ?? [];
    const purged = await removeEntries(await store.redis(), store.stream.deadLetterKey, ids);
    const detail = `${purged} dead letters: ${auditFilter(config, flags)}`;
    await audit(io, flags, store, 'dlq purge', detail);
    return { letters: ids.length, purged };
  });
  reportUnchanged(io, answers.missing);
  const missing = [...found.missing, ...answers.missing];
  const purged = answers.answered.reduce((sum, { value }) => sum + value.purged, 0);
  const ofShards = shardLines(answers.answered, (value) => String(value.purged));
  const shards = shardsJson(config, { ...answers, missing }, (value) => value);
  return {
    result: { letters: found.count, purged, ...shards },
    text: `${purged} dead letters deleted${ofShards}`,
    exit: exitOf(missing),
  };
}
