import type { Command } from 'commander';
import type { DeviceId } from '../core/types.ts';
import { type DeviceView, viewDevice } from '../db/device-view.ts';
import { viewDevices, viewPending } from '../stream/group-view.ts';
import { readDeadLetters } from '../stream/stored-dead-letters.ts';
import { isDeviceId } from '../teltonika/imei.ts';
import { namesOf } from './decode-names.ts';
import { deviceOf } from './dlq/filter.ts';
import { durationText, plural } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, type SetExitCode } from './options.ts';
import { type Stores, withStores } from './stores.ts';
import { table } from './table.ts';

/** Registers `processor device show`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .description('what table, dead letters and stream hold of one device')
    .argument('<imei>', '15 digits')
    .option(
      '--model <model>',
      "for the IO elements' names: a model as FMC130, or its family",
      'FMB',
    )
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 no IMEI.')
    .action(async (imei: string, flags: OutputFlags & { model: string }) =>
      setExitCode(await runDeviceShow(cliIo(), imei, flags)),
    );
}

/** Maximum of dead letters scanned, newest first. */
const maxDeadLetters = 10_000;
/** Maximum of pending entries scanned, oldest first. */
const maxPending = 2000;

/** `processor device show <imei>`: prints what table, dead letters and stream hold of a device. */
export function runDeviceShow(
  io: CliIo,
  device: string,
  flags: OutputFlags & { model: string },
): Promise<CliExit> {
  return withStores(io, async (stores) => {
    if (!isDeviceId(device)) {
      io.stderr.write('processor: an IMEI has 15 digits\n');
      return cliExits.refused;
    }
    const nowMs = Date.now();
    const view = await viewDevice(stores.database(), device, nowMs);
    const deadLetters = await countDeadLetters(stores, device);
    const pending = await pendingOf(stores, device);
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
    const elements = io_elements.map(({ id, name, value, unit }) => [
      `  ${id}`,
      name ?? '-',
      `${String(value)}${unit === null || unit === undefined ? '' : ` ${unit}`}`,
    ]);
    const shown =
      elements.length === 0 ? '' : `\nIO elements of the newest record\n${table(elements)}`;
    print(io, flags, json, `${table(facts)}${shown}`);
    return cliExits.ok;
  });
}

async function countDeadLetters(
  { config, redis }: Stores,
  device: DeviceId,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  let scanned = 0;
  const range = { from: '-', to: '+', order: 'newest_first' } as const;
  for await (const deadLetter of readDeadLetters(
    await redis(),
    config.stream.deadLetterKey,
    range,
  )) {
    scanned += 1;
    if (scanned > maxDeadLetters) break;
    if (deadLetter.kind === 'malformed' || deviceOf(deadLetter) !== device) continue;
    for (const { reason, count } of deadLetter.rejections) {
      counts[reason] = (counts[reason] ?? 0) + count;
    }
  }
  return counts;
}

async function pendingOf({ config, redis }: Stores, device: DeviceId): Promise<number> {
  const client = await redis();
  const ids = [];
  for await (const { id } of viewPending(client, config.stream, { minIdleMs: 0 })) {
    if (ids.length === maxPending) break;
    ids.push(id);
  }
  const devices = await viewDevices(client, config.stream.key, ids);
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
