import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { agePending, aliveMs, viewConsumers } from '../stream/group-view.ts';
import { audit } from './audit.ts';
import { type ChangeFlags, type Done, makeChange } from './change.ts';
import { durationText, plural } from './format.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import {
  changeExits,
  changing,
  cliIo,
  positive,
  type SetExitCode,
  wholeNumber,
} from './options.ts';
import { inShards, noneText, reportUnchanged, shardLines, shardsJson } from './shard-text.ts';
import {
  type Answered,
  exitOf,
  type Missing,
  overShards,
  type ShardFlags,
  type StreamStore,
  sharded,
  untouched,
} from './shards.ts';
import { type Stores, withStores } from './stores.ts';

/** Registers `processor pending claim`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  sharded(changing(command))
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

export interface ClaimFlags extends ChangeFlags, ShardFlags {
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
  return withStores(
    io,
    async (stores) => {
      const { consumer } = flags;
      const found = await overShards(stores.streams, async ({ stream, redis }) =>
        (await viewConsumers(await redis(), stream)).filter(({ name }) => name === consumer),
      );
      const missing = untouched(found.missing);
      reportUnchanged(io, missing);
      const holders = found.answered.flatMap(({ store, value: [view] }) =>
        view === undefined ? [] : [{ store, value: view }],
      );
      if (holders.length === 0) return refuseAbsent(io, consumer, stores, missing);
      const alive = holders.filter(({ store, value }) => value.idleMs < aliveMs(store.stream));
      if (alive.length > 0 && !flags.force) return refuseAlive(io, consumer, alive);
      const pending = holders.reduce((sum, { value }) => sum + value.pending, 0);
      const places = holders.map(({ store }) => store);
      const exit = await makeChange(io, flags, {
        what: `hand ${pending} entries of ${consumer}${inShards(places)} to running instances`,
        planned: {
          pending,
          claimed: 0,
          ...shardsJson(stores.config, { answered: holders, missing }, ({ pending: held }) => {
            return { pending: held };
          }),
        },
        isEmpty: pending === 0,
        carryOut: () => handOver(io, stores, flags, places, missing),
      });
      return exit === cliExits.ok ? exitOf(missing) : exit;
    },
    flags,
  );
}

function refuseAbsent(
  io: CliIo,
  consumer: string,
  { streams }: Stores,
  missing: readonly Missing[],
): CliExit {
  const none = noneText(`consumer ${consumer}`, streams, missing);
  if (none !== '') io.stderr.write(`processor: the group has ${none}; see consumers list\n`);
  return cliExits.failed;
}

function refuseAlive(
  io: CliIo,
  consumer: string,
  alive: readonly Answered<{ readonly idleMs: number }>[],
): CliExit {
  const since = durationText(Math.min(...alive.map(({ value }) => value.idleMs)));
  const places = inShards(alive.map(({ store }) => store));
  io.stderr.write(
    `processor: ${consumer} asked for entries ${since} ago${places} and is alive; its work would be done twice (stored once). add --force to do it anyway\n`,
  );
  return cliExits.refused;
}

async function handOver(
  io: CliIo,
  stores: Stores,
  flags: ClaimFlags,
  places: readonly StreamStore[],
  absent: readonly Missing[],
): Promise<Done> {
  const { consumer } = flags;
  const aged = await overShards(places, (store) => ageAll(store, flags));
  const taken = await untilTaken(io, aged.answered, flags);
  const missing = [...aged.missing, ...taken.missing];
  reportUnchanged(io, missing);
  const answered = taken.handed;
  for (const { store, value } of answered) {
    const detail = `${consumer}: ${value.claimed} handed over, ${value.left} not yet taken`;
    await audit(io, flags, store, 'pending claim', detail);
  }
  const claimed = answered.reduce((sum, { value }) => sum + value.claimed, 0);
  const left = answered.reduce((sum, { value }) => sum + value.left, 0);
  const ofShards = shardLines(answered, (value) => `${value.claimed}, not yet taken ${value.left}`);
  const text =
    left === 0
      ? `${claimed} entries of ${consumer} were taken over`
      : `${claimed} entries of ${consumer} handed over; ${left} not yet taken: is an instance running?`;
  const answers = { answered, missing: [...absent, ...missing] };
  return {
    result: { consumer, claimed, left, ...shardsJson(stores.config, answers, (value) => value) },
    text: text + ofShards,
    exit: left === 0 ? exitOf(missing) : cliExits.failed,
  };
}

/** Ages the entries beyond the service's claim threshold, so that any instance claims them. */
async function ageAll({ stream, redis }: StreamStore, flags: ClaimFlags): Promise<number> {
  const idleMs = stream.claimThresholdMs + 1000;
  const minIdleMs = flags.minIdle === undefined ? stream.claimThresholdMs : flags.minIdle * 1000;
  const aged = new Set<string>();
  for (;;) {
    const ids = await agePending(await redis(), stream, {
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

interface Handed {
  readonly claimed: number;
  /** Not taken by any instance yet. */
  readonly left: number;
}

/** Waits until instances have taken the entries of all shards, or until the timeout. */
async function untilTaken(
  io: CliIo,
  aged: readonly Answered<number>[],
  flags: ClaimFlags,
): Promise<{ readonly handed: Answered<Handed>[]; readonly missing: readonly Missing[] }> {
  const handed = new Map<StreamStore, Handed>();
  for (const { store, value } of aged) handed.set(store, { claimed: value, left: 0 });
  let open = aged.filter(({ value }) => value > 0).map(({ store }) => store);
  const missing: Missing[] = [];
  const isLate = waiter(io, flags);
  for (;;) {
    const answers = await overShards(open, (store) => leftIn(store, flags.consumer));
    missing.push(...answers.missing);
    for (const { shard } of answers.missing) {
      for (const store of open) if (store.stream.shard === shard) handed.delete(store);
    }
    for (const { store, value: left } of answers.answered) {
      handed.set(store, { claimed: handed.get(store)?.claimed ?? 0, left });
    }
    open = answers.answered.filter(({ value }) => value > 0).map(({ store }) => store);
    const left = answers.answered.reduce((sum, { value }) => sum + value, 0);
    if (open.length === 0 || isLate(left)) break;
    await setTimeout(pollMs, undefined, { signal: io.signal }).catch(() => undefined);
  }
  return { handed: [...handed].map(([store, value]) => ({ store, value })), missing };
}

async function leftIn({ stream, redis }: StreamStore, consumer: string): Promise<number> {
  const consumers = await viewConsumers(await redis(), stream);
  return consumers.find(({ name }) => name === consumer)?.pending ?? 0;
}

/** Returns a check for the end of the wait, which also writes a notice every few seconds. */
function waiter(io: CliIo, flags: ClaimFlags): (left: number) => boolean {
  const startedMs = performance.now();
  let noticeMs = startedMs + noticeEveryMs;
  return (left) => {
    const nowMs = performance.now();
    if (io.signal.aborted || nowMs > startedMs + flags.timeout * 1000) return true;
    if (nowMs < noticeMs) return false;
    const waited = durationText(nowMs - startedMs);
    const entries = plural(left, 'entry', 'entries');
    io.stderr.write(`processor: waiting for an instance to claim ${entries} (${waited})\n`);
    noticeMs = nowMs + noticeEveryMs;
    return false;
  };
}
