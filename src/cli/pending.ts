import type { Command } from 'commander';
import { controlKeys } from '../stream/control-keys.ts';
import { compareIds } from '../stream/entry-id.ts';
import { type PendingView, viewDevices, viewPending } from '../stream/group-view.ts';
import { callRedis } from '../stream/redis.ts';
import { durationText } from './format.ts';
import type { CliExit, CliIo, OutputFlags } from './io.ts';
import { cliIo, positive, readExits, type SetExitCode, wholeNumber } from './options.ts';
import { register as registerClaim } from './pending-claim.ts';
import { noneText, printFound, shardJson, shownId } from './shard-text.ts';
import { overShards, type ShardFlags, type StreamStore, sharded } from './shards.ts';
import { withStores } from './stores.ts';
import { table } from './table.ts';

/** Registers the commands of `processor pending`. */
export function register(pending: Command, setExitCode: SetExitCode): void {
  sharded(pending.command('list'))
    .description('list entries, one per line, oldest first')
    .option('--consumer <name>', 'only entries of this consumer')
    .option(
      '--min-idle <seconds>',
      'only entries that have been idle for at least this long',
      wholeNumber,
      0,
    )
    .option('--limit <entries>', 'maximum number of entries', positive, 50)
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (flags: OutputFlags & PendingFlags) =>
      setExitCode(await runPendingList(cliIo(), flags)),
    );
  registerClaim(pending.command('claim'), setExitCode);
}

export interface PendingFlags extends ShardFlags {
  readonly consumer?: string;
  /** Seconds. */
  readonly minIdle: number;
  readonly limit: number;
}

/** `processor pending list`: lists entries delivered and not acknowledged, oldest first. */
export function runPendingList(io: CliIo, flags: OutputFlags & PendingFlags): Promise<CliExit> {
  return withStores(
    io,
    async ({ config, streams }) => {
      const { answered, missing } = await overShards(streams, (store) => pendingIn(store, flags));
      const found = answered
        .flatMap(({ store, value }) => value.map((row) => ({ store, row })))
        .sort((a, b) => compareIds(a.row.id, b.row.id))
        .slice(0, flags.limit);
      const rows = found.map(({ store, row }) => ({ store, ...row, id: shownId(store, row.id) }));
      const text =
        rows.length === 0 ? noneText('pending entries', streams, missing) : tableOf(rows);
      const entries = rows.map(({ store, ...row }) => shardJson(store, row));
      return printFound(io, flags, config, { result: { entries }, text, missing });
    },
    flags,
  );
}

type Row = Awaited<ReturnType<typeof pendingIn>>[number];

async function pendingIn({ stream, redis }: StreamStore, flags: PendingFlags) {
  const client = await redis();
  const entries: PendingView[] = [];
  const asked = {
    ...(flags.consumer === undefined ? {} : { consumer: flags.consumer }),
    minIdleMs: flags.minIdle * 1000,
  };
  for await (const entry of viewPending(client, stream, asked)) {
    if (entries.length === flags.limit) break;
    entries.push(entry);
  }
  const ids = entries.map(({ id }) => id);
  const devices = await viewDevices(client, stream.key, ids);
  const crashCounts = await callRedis(() => client.hgetall(controlKeys(stream.key).suspects));
  return entries.map(({ id, consumer, idleMs, deliveries }, at) => {
    const device = devices[at] ?? null;
    const crashes = Number(crashCounts[id] ?? 0);
    return { id, consumer, idle_ms: idleMs, deliveries, device, tries_alone: crashes };
  });
}

function tableOf(rows: readonly (Omit<Row, 'id'> & { readonly id: string })[]): string {
  const heading = ['ENTRY', 'CONSUMER', 'IDLE', 'DELIVERIES', 'CRASHES', 'DEVICE'];
  const lines = rows.map((row) => [
    row.id,
    row.consumer,
    durationText(row.idle_ms),
    String(row.deliveries),
    String(row.tries_alone),
    row.device ?? '-',
  ]);
  return table([heading, ...lines]);
}
