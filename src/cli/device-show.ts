import type { Command } from 'commander';
import type { DeviceId } from '../core/types.ts';
import { type DeviceView, viewDevice } from '../db/device-view.ts';
import { viewDevices, viewPending } from '../stream/group-view.ts';
import { shardOf } from '../stream/shards.ts';
import { readDeadLetters } from '../stream/stored-dead-letters.ts';
import { isDeviceId } from '../teltonika/imei.ts';
import { namesOf } from './decode-names.ts';
import { deviceOf } from './dlq/filter.ts';
import { durationText, plural } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags } from './io.ts';
import { cliIo, type SetExitCode } from './options.ts';
import { printFound, shardsJson, shardsText } from './shard-text.ts';
import { type Answered, overShards, type ShardFlags, type StreamStore, sharded } from './shards.ts';
import { type Stores, withStores } from './stores.ts';
import { table } from './table.ts';

/** Registers `processor device show`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  sharded(command)
    .description('what table, dead letters and stream hold of one device')
    .argument('<imei>', '15 digits')
    .option(
      '--model <model>',
      "for the IO elements' names: a model as FMC130, or its family",
      'FMB',
    )
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 no IMEI.')
    .action(async (imei: string, flags: ShowFlags) =>
      setExitCode(await runDeviceShow(cliIo(), imei, flags)),
    );
}

export interface ShowFlags extends OutputFlags, ShardFlags {
  readonly model: string;
}

/** Maximum of dead letters scanned, newest first. */
const maxDeadLetters = 10_000;
/** Maximum of pending entries scanned, oldest first. */
const maxPending = 2000;

/** `processor device show <imei>`: prints what table, dead letters and stream hold of a device. */
export function runDeviceShow(io: CliIo, device: string, flags: ShowFlags): Promise<CliExit> {
  const show = async (stores: Stores) => {
    if (!isDeviceId(device)) {
      io.stderr.write('processor: an IMEI has 15 digits\n');
      return cliExits.refused;
    }
    const nowMs = Date.now();
    const view = await viewDevice(stores.database(), device, nowMs);
    const answers = await overShards(stores.streams, async (store) => {
      const deadLetters = await countDeadLetters(store, device);
      return { deadLetters, pending: await pendingOf(store, device) };
    });
    const { deadLetters, pending } = sumOf(answers.answered);
    const io_elements = namesOf(flags.model).attributes(view.newest?.attributes);
    const json = { device, ...jsonOf(view), dead_letters: deadLetters, pending, io_elements };
    const facts = [...factsOf(view, nowMs), ['pending', `${pending} entries`]];
    const counted = Object.entries(deadLetters);
    facts.push([
      'dead letters',
      counted.length === 0
        ? 'none'
        : counted.map(([reason, found]) => `${reason} ${found}`).join(', '),
    ]);
    facts.push(...shardFacts(stores, device, answers.answered));
    const elements = io_elements.map(({ id, name, value, unit }) => [
      `  ${id}`,
      name ?? '-',
      `${String(value)}${unit === null || unit === undefined ? '' : ` ${unit}`}`,
    ]);
    const shown =
      elements.length === 0 ? '' : `\nIO elements of the newest record\n${table(elements)}`;
    const { missing } = answers;
    const shards = shardsJson(stores.config, answers, (found) => {
      return { pending: found.pending, dead_letters: found.deadLetters };
    });
    const result = { ...json, ...shards };
    return printFound(io, flags, stores.config, {
      result,
      text: `${table(facts)}${shown}`,
      missing,
    });
  };
  return withStores(io, show, flags);
}

/** What one stream holds of the device. */
interface Held {
  readonly pending: number;
  /** By reason. */
  readonly deadLetters: Readonly<Record<string, number>>;
}

function sumOf(held: readonly Answered<Held>[]): Held {
  const deadLetters: Record<string, number> = {};
  let pending = 0;
  for (const { value } of held) {
    pending += value.pending;
    for (const [reason, found] of Object.entries(value.deadLetters)) {
      deadLetters[reason] = (deadLetters[reason] ?? 0) + found;
    }
  }
  return { pending, deadLetters };
}

/** The shard of the device's entries; others hold some where a producer computes another shard. */
function shardFacts(
  { config: { shards } }: Stores,
  device: DeviceId,
  held: readonly Answered<Held>[],
): string[][] {
  if (shards === null) return [];
  const own = shardOf(device, shards.count);
  const others = held.flatMap(({ store: { stream }, value }) => {
    const hasAny = value.pending > 0 || Object.keys(value.deadLetters).length > 0;
    return hasAny && stream.shard !== null && stream.shard !== own ? [stream.shard] : [];
  });
  const wrong = others.length === 0 ? '' : `, and also found in ${shardsText(others)}`;
  return [['shard', `${own} of ${shards.count} by its IMEI${wrong}`]];
}

async function countDeadLetters(
  { stream, redis }: StreamStore,
  device: DeviceId,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  let scanned = 0;
  const range = { from: '-', to: '+', order: 'newest_first' } as const;
  for await (const deadLetter of readDeadLetters(await redis(), stream.deadLetterKey, range)) {
    scanned += 1;
    if (scanned > maxDeadLetters) break;
    if (deadLetter.kind === 'malformed' || deviceOf(deadLetter) !== device) continue;
    for (const { reason, count } of deadLetter.rejections) {
      counts[reason] = (counts[reason] ?? 0) + count;
    }
  }
  return counts;
}

async function pendingOf({ stream, redis }: StreamStore, device: DeviceId): Promise<number> {
  const client = await redis();
  const ids = [];
  for await (const { id } of viewPending(client, stream, { minIdleMs: 0 })) {
    if (ids.length === maxPending) break;
    ids.push(id);
  }
  const devices = await viewDevices(client, stream.key, ids);
  return devices.filter((one) => one === device).length;
}

function factsOf(view: DeviceView, nowMs: number): string[][] {
  const { newest, lastFix, rowsLastHour, rowsLastDay, medianLagMs } = view;
  const ago = (ms: number) =>
    `${new Date(ms).toISOString()} (${durationText(Math.max(0, nowMs - ms))} ago)`;
  return [
    ['newest record', newest === null ? 'none in the table' : ago(newest.ts)],
    ['stored', newest === null ? '-' : ago(newest.ingestedAt)],
    [
      'last fix',
      lastFix === null
        ? 'none in 30 days'
        : `${lastFix.latitude}, ${lastFix.longitude} at ${ago(lastFix.ts)}`,
    ],
    ['last hour', `${plural(rowsLastHour, 'record', 'records')}, by their own time`],
    ['last day', `${plural(rowsLastDay, 'record', 'records')}, by their own time`],
    ['median lag', medianLagMs === null ? '-' : durationText(medianLagMs)],
  ];
}

function jsonOf({ newest, lastFix, rowsLastHour, rowsLastDay, medianLagMs }: DeviceView): object {
  const time = (ms: number) => new Date(ms).toISOString();
  return {
    newest_ts: newest === null ? null : time(newest.ts),
    newest_ingested_at: newest === null ? null : time(newest.ingestedAt),
    last_fix: lastFix && { ...lastFix, ts: time(lastFix.ts) },
    rows_last_hour: rowsLastHour,
    rows_last_day: rowsLastDay,
    median_lag_ms: medianLagMs,
  };
}
