import type { Command } from 'commander';
import {
  aliveMs,
  type ConsumerView,
  type Removal,
  removeConsumer,
  viewConsumers,
} from '../stream/group-view.ts';
import { audit } from './audit.ts';
import { type ChangeFlags, type Done, makeChange } from './change.ts';
import { countText, durationText } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags } from './io.ts';
import { changeExits, changing, cliIo, readExits, type SetExitCode } from './options.ts';
import { printable } from './printable.ts';
import {
  inShards,
  noneText,
  printFound,
  reportUnchanged,
  shardJson,
  shardsJson,
} from './shard-text.ts';
import { exitOf, overShards, type ShardFlags, type StreamStore, sharded } from './shards.ts';
import { type Stores, withStores } from './stores.ts';
import { table } from './table.ts';

/** Registers the commands of `processor consumers`. */
export function register(consumers: Command, setExitCode: SetExitCode): void {
  sharded(consumers.command('list'))
    .description('list consumers, one per line')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (flags: OutputFlags & ShardFlags) =>
      setExitCode(await runConsumersList(cliIo(), flags)),
    );
  sharded(changing(consumers.command('remove')))
    .description('remove a consumer without pending entries from the group')
    .argument('<name>', 'the name, as consumers list prints it')
    .addHelpText('after', changeExits)
    .action(async (name: string, flags: ChangeFlags & ShardFlags) =>
      setExitCode(await runConsumersRemove(cliIo(), name, flags)),
    );
}

/** `processor consumers list`: lists the consumers of the group and what each holds. */
export function runConsumersList(io: CliIo, flags: OutputFlags & ShardFlags): Promise<CliExit> {
  return withStores(
    io,
    async ({ config, streams }) => {
      const { answered, missing } = await overShards(streams, async ({ stream, redis }) =>
        viewConsumers(await redis(), stream),
      );
      const rows = answered.flatMap(({ store, value }) => value.map((view) => ({ store, view })));
      const text = rows.length === 0 ? noneText('consumers', streams, missing) : tableOf(rows);
      const consumers = rows.map(({ store, view: { name, pending, idleMs, inactiveMs } }) =>
        shardJson(store, { name, pending, idle_ms: idleMs, inactive_ms: inactiveMs }),
      );
      return printFound(io, flags, config, { result: { consumers }, text, missing });
    },
    flags,
  );
}

interface Row {
  readonly store: StreamStore;
  readonly view: ConsumerView;
}

function tableOf(rows: readonly Row[]): string {
  // Redis 7.2 and newer report it; without it the column would be empty.
  const hasActivity = rows.some(({ view }) => view.inactiveMs !== null);
  const shardOf = ({ stream }: StreamStore) => (stream.shard === null ? [] : [`${stream.shard}`]);
  const heading = [
    ...(rows.some(({ store }) => store.stream.shard !== null) ? ['SHARD'] : []),
    ...['CONSUMER', 'PENDING', 'ASKED'],
    ...(hasActivity ? ['RECEIVED'] : []),
  ];
  const lines = rows.map(({ store, view: { name, pending, idleMs, inactiveMs } }) => [
    ...shardOf(store),
    name,
    countText(pending),
    `${durationText(idleMs)} ago`,
    ...(hasActivity ? [inactiveMs === null ? 'never' : `${durationText(inactiveMs)} ago`] : []),
  ]);
  return table([heading, ...lines]);
}

const refusals: Readonly<Record<Exclude<Removal, 'removed'>, string>> = {
  pending:
    'it holds entries, which would be lost with it: processor pending claim --consumer first',
  alive: 'it asked for entries a moment ago: stop its instance first',
  absent: 'the group has no such consumer; see processor consumers list',
};

/** `processor consumers remove <name>`: removes a consumer without pending entries. */
export function runConsumersRemove(
  io: CliIo,
  name: string,
  flags: ChangeFlags & ShardFlags,
): Promise<CliExit> {
  return withStores(
    io,
    async (stores) =>
      await makeChange(io, flags, {
        what: `remove the consumer ${printable(name)}${inShards(stores.streams)}`,
        planned: { removed: false },
        carryOut: () => removeAll(io, name, flags, stores),
      }),
    flags,
  );
}

/** A shard that never saw the consumer needs no removal, as long as another one did. */
async function removeAll(
  io: CliIo,
  name: string,
  flags: ChangeFlags,
  { config, streams }: Stores,
): Promise<Done | CliExit> {
  const answers = await overShards(streams, async (store) => {
    const { stream } = store;
    const removal = await removeConsumer(await store.redis(), stream, name, aliveMs(stream));
    if (removal === 'removed') await audit(io, flags, store, 'consumers remove', name);
    return removal;
  });
  const { answered, missing } = answers;
  reportUnchanged(io, missing);
  const placesOf = (removal: Removal) =>
    answered.flatMap(({ store, value }) => (value === removal ? [store] : []));
  const removed = placesOf('removed');
  const kept = (['pending', 'alive'] as const).filter((removal) => placesOf(removal).length > 0);
  const isAbsent = removed.length === 0 && kept.length === 0 && answered.length > 0;
  for (const refusal of isAbsent ? (['absent'] as const) : kept) {
    const places = inShards(placesOf(refusal));
    io.stderr.write(`processor: ${printable(name)}${places}: ${refusals[refusal]}\n`);
  }
  if (removed.length === 0) return cliExits.failed;
  return {
    result: {
      removed: kept.length === 0 && missing.length === 0,
      name,
      ...shardsJson(config, answers, (removal) => ({ removal })),
    },
    text: `the consumer ${printable(name)} is removed${inShards(removed)}`,
    exit: kept.length === 0 ? exitOf(missing) : cliExits.failed,
  };
}
