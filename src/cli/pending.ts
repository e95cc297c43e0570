import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { controlKeys } from '../stream/control-keys.ts';
import {
  agePending,
  aliveMs,
  type PendingView,
  viewConsumers,
  viewDevices,
  viewPending,
} from '../stream/group-view.ts';
import { callRedis } from '../stream/redis.ts';
import { audit } from './audit.ts';
import { type ChangeFlags, type Done, makeChange } from './change.ts';
import { durationText, plural } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import {
  changeExits,
  changing,
  cliIo,
  positive,
  readExits,
  type SetExitCode,
  wholeNumber,
} from './options.ts';
import { type Stores, withStores } from './stores.ts';
import { table } from './table.ts';

/** Registers the commands of `processor pending`. */
export function register(pending: Command, setExitCode: SetExitCode): void {
  pending
    .command('list')
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
  changing(pending.command('claim'))
    .description("hand a dead instance's entries to running instances now")
    .requiredOption('--consumer <name>', 'the dead instance')
    .option(
      '--min-idle <seconds>',
      'only entries that have been idle for at least this long; default CLAIM_THRESHOLD_MS',
      wholeNumber,
    )
    .option('--force', 'also when the consumer seems alive', false)
    .option('--timeout <seconds>', 'maximum wait until they are claimed', positive, 60)
    .addHelpText('after', changeExits)
    .action(async (flags: ClaimFlags) => setExitCode(await runPendingClaim(cliIo(), flags)));
}

export interface PendingFlags {
  readonly consumer?: string;
  /** Seconds. */
  readonly minIdle: number;
  readonly limit: number;
}

/** `processor pending list`: lists entries delivered and not acknowledged, oldest first. */
export function runPendingList(io: CliIo, flags: OutputFlags & PendingFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { stream } = stores.config;
    const redis = await stores.redis();
    const entries: PendingView[] = [];
    const asked = {
      ...(flags.consumer === undefined ? {} : { consumer: flags.consumer }),
      minIdleMs: flags.minIdle * 1000,
    };
    for await (const entry of viewPending(redis, stream, asked)) {
      if (entries.length === flags.limit) break;
      entries.push(entry);
    }
    const devices = await viewDevices(
      redis,
      stream.key,
      entries.map(({ id }) => id),
    );
    const crashCounts = await crashCountsOf(stores);
    const rows = entries.map(({ id, consumer, idleMs, deliveries }, at) => {
      const crashes = crashCounts[id];
      return {
        id,
        consumer,
        idle_ms: idleMs,
        deliveries,
        device: devices[at] ?? null,
        tries_alone: crashes === undefined ? 0 : Number(crashes),
      };
    });
    const heading = ['ENTRY', 'CONSUMER', 'IDLE', 'DELIVERIES', 'CRASHES', 'DEVICE'];
    const lines = rows.map((row) => [
      row.id,
      row.consumer,
      durationText(row.idle_ms),
      String(row.deliveries),
      String(row.tries_alone),
      row.device ?? '-',
    ]);
    const text = rows.length === 0 ? 'no pending entries' : table([heading, ...lines]);
    print(io, flags, { entries: rows }, text);
    return cliExits.ok;
  });
}

async function crashCountsOf({ config, redis }: Stores): Promise<Record<string, string>> {
  return await callRedis(async () => {
    return await (await redis()).hgetall(controlKeys(config.stream.key).suspects);
  });
}

export interface ClaimFlags extends ChangeFlags {
  readonly consumer: string;
  /** Seconds; by default the service's own threshold. */
  readonly minIdle?: number;
  readonly force: boolean;
  readonly timeout: number;
}

/** Entries aged in one script. */
const perStep = 1000;
const pollMs = 200;
/** Interval of the notices to an operator who waits. */
const noticeEveryMs = 3000;

/** `processor pending claim`: lets running instances claim the entries of a dead one now. */
export function runPendingClaim(io: CliIo, flags: ClaimFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { stream } = stores.config;
    const redis = await stores.redis();
    const { consumer } = flags;
    const found = (await viewConsumers(redis, stream)).find(({ name }) => name === consumer);
    if (found === undefined) {
      io.stderr.write(`processor: the group has no consumer ${consumer}; see consumers list\n`);
      return cliExits.failed;
    }
    if (found.idleMs < aliveMs(stream) && !flags.force) {
      const since = durationText(found.idleMs);
      io.stderr.write(
        `processor: ${consumer} asked for entries ${since} ago and is alive; its work would be done twice (stored once). add --force to do it anyway\n`,
      );
      return cliExits.refused;
    }
    const what = `hand ${found.pending} entries of ${consumer} to running instances`;
    return await makeChange(io, flags, {
      what,
      planned: { pending: found.pending, claimed: 0 },
      isEmpty: found.pending === 0,
      carryOut: () => handOver(io, stores, flags),
    });
  });
}

async function handOver(io: CliIo, stores: Stores, flags: ClaimFlags): Promise<Done> {
  const { consumer } = flags;
  const claimed = await ageAll(stores, flags);
  const left = await untilTaken(io, stores, flags, claimed);
  const detail = `${consumer}: ${claimed} handed over, ${left} not yet taken`;
  const text =
    left === 0
      ? `${claimed} entries of ${consumer} were taken over`
      : `${claimed} entries of ${consumer} handed over; ${left} not yet taken: is an instance running?`;
  return {
    result: { consumer, claimed, left },
    text,
    audit: () => audit(io, flags, stores, 'pending claim', detail),
    exit: left === 0 ? cliExits.ok : cliExits.failed,
  };
}

/** Ages the entries beyond the service's claim threshold, so that any instance claims them. */
async function ageAll(stores: Stores, flags: ClaimFlags): Promise<number> {
  const { stream } = stores.config;
  const idleMs = stream.claimThresholdMs + 1000;
  const minIdleMs = flags.minIdle === undefined ? stream.claimThresholdMs : flags.minIdle * 1000;
  const aged = new Set<string>();
  for (;;) {
    const ids = await agePending(await stores.redis(), stream, {
      consumer: flags.consumer,
      minIdleMs,
      idleMs,
      max: aged.size + perStep,
    });
    const before = aged.size;
    for (const id of ids) aged.add(id);
    // A round without a new entry: all are aged.
    if (aged.size === before) return aged.size;
  }
}

async function untilTaken(
  io: CliIo,
  stores: Stores,
  flags: ClaimFlags,
  claimed: number,
): Promise<number> {
  if (claimed === 0) return 0;
  const { stream } = stores.config;
  const startedMs = performance.now();
  const giveUpMs = startedMs + flags.timeout * 1000;
  let noticeMs = startedMs + noticeEveryMs;
  for (;;) {
    const consumers = await viewConsumers(await stores.redis(), stream);
    const left = consumers.find(({ name }) => name === flags.consumer)?.pending ?? 0;
    const nowMs = performance.now();
    if (left === 0 || io.signal.aborted || nowMs > giveUpMs) return left;
    if (nowMs >= noticeMs) {
      const waited = durationText(nowMs - startedMs);
      const entries = plural(left, 'entry', 'entries');
      io.stderr.write(`processor: waiting for an instance to claim ${entries} (${waited})\n`);
      noticeMs = nowMs + noticeEveryMs;
    }
    await setTimeout(pollMs, undefined, { signal: io.signal }).catch(() => undefined);
  }
}
