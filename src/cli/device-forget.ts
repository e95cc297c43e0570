import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import type { DeviceId } from '../core/types.ts';
import { asDependencyError } from '../db/errors.ts';
import { countDevice, type DeviceRows, forgetDevice } from '../db/forget-device.ts';
import { refuseReadOnly } from '../db/ground.ts';
import { withClient } from '../db/migrator.ts';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { type DeviceTraces, type ForgetPlace, findDevice } from '../stream/forget.ts';
import { removeEntries } from '../stream/remove-entries.ts';
import { isDeviceId } from '../teltonika/imei.ts';
import { noteChange } from './audit.ts';
import { type ChangeFlags, makeChange } from './change.ts';
import { deviceMark } from './device-mark.ts';
import { plural } from './format.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { reportMissing, reportUnchanged } from './shard-text.ts';
import { type Missing, overShards, type StreamStore, without } from './shards.ts';
import { type Stores, silent, withStores } from './stores.ts';

/** Running instances read requests every second; then the request itself is deleted. */
const requestMs = 4000;

/** Registers `processor device forget`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(command)
    .description('delete all that is kept of the device: rows, dead letters, settled entries')
    .argument('<imei>', '15 digits')
    .addHelpText('after', changeExits)
    .action(async (imei: string, flags: ChangeFlags) =>
      setExitCode(await runForget(cliIo(), imei, flags)),
    );
}

/**
 * `processor device forget <imei>`: deletes a device's rows, its dead letters, its settled entries
 * and the audit lines that name it, and makes running instances drop what they know of it.
 */
export function runForget(io: CliIo, device: string, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    if (!isDeviceId(device)) {
      io.stderr.write('processor: an IMEI has 15 digits\n');
      return cliExits.refused;
    }
    const found = await findTraces(io, stores, device);
    if (found.missing.length > 0) return refuseMissing(io, found.missing);
    const mark = deviceMark(stores.config, device);
    const json = { device: mark, ...jsonOf(found) };
    const counts = textOf(found);
    const { unsettled } = found.traces;
    if (unsettled > 0 && !flags.dryRun) return refuse(io, unsettled);
    return await makeChange(io, flags, {
      // The output of a dry run may be kept, so it does not name the device.
      what: flags.dryRun
        ? `forget ${mark}: ${counts}`
        : `forget the device ${device} for good: ${counts}`,
      planned: json,
      async carryOut() {
        const gone = await carryOut(io, flags, stores, device);
        const result = { forgotten: gone.isWhole, device: mark, ...gone.counts };
        return { result, text: gone.text, exit: gone.isWhole ? cliExits.ok : cliExits.failed };
      },
    });
  });
}

interface Found {
  readonly rows: DeviceRows;
  /** Those of all shards together. */
  readonly traces: Counts;
  readonly missing: readonly Missing[];
}

/** How many ids `DeviceTraces` has of each kind. */
type Counts = Readonly<Record<keyof DeviceTraces, number>>;

/** A device has its shard, but a producer may have written its entries to another one. */
async function findTraces(io: CliIo, stores: Stores, device: DeviceId): Promise<Found> {
  const { answered, missing } = await overShards(stores.streams, async (store) =>
    countsOf(await findDevice(await store.redis(), placeOf(store), device, io.signal)),
  );
  const traces = sumOf(answered.map(({ value }) => value));
  return { rows: await onTables(stores, (client) => countDevice(client, device)), traces, missing };
}

function countsOf({ settled, unsettled, deadLetters, audit, requests }: DeviceTraces): Counts {
  return {
    settled: settled.length,
    unsettled,
    deadLetters: deadLetters.length,
    audit: audit.length,
    requests: requests.length,
  };
}

function sumOf(counts: readonly Counts[]): Counts {
  const sum = (kind: keyof Counts) => counts.reduce((total, one) => total + one[kind], 0);
  return {
    settled: sum('settled'),
    unsettled: sum('unsettled'),
    deadLetters: sum('deadLetters'),
    audit: sum('audit'),
    requests: sum('requests'),
  };
}

function placeOf({ stream }: StreamStore): ForgetPlace {
  return { ...stream, keys: controlKeys(stream.key) };
}

/** A shard that does not answer may hold entries of the device, which would bring it back. */
function refuseMissing(io: CliIo, missing: readonly Missing[]): CliExit {
  reportMissing(io, missing);
  io.stderr.write('processor: to forget a device all shards must answer; nothing was done\n');
  return cliExits.failed;
}

/** With the migrator's login: the writer may delete nothing. @throws DependencyError */
async function onTables<Result>(
  { config }: Stores,
  work: (client: Parameters<typeof countDevice>[0]) => Promise<Result>,
): Promise<Result> {
  const { database: db } = config;
  try {
    return await withClient({ ...db, url: db.migrationUrl }, silent, async (client) => {
      await refuseReadOnly(client);
      return await work(client);
    });
  } catch (error) {
    throw asDependencyError(error);
  }
}

function refuse(io: CliIo, unsettled: number): CliExit {
  const entries = plural(unsettled, 'entry', 'entries');
  io.stderr.write(
    `processor: not settled in the stream: ${entries} of the device, which would bring it back: block the device at the ingestion service, wait until processor status shows no lag, run this again; nothing was done\n`,
  );
  return cliExits.failed;
}

interface Gone {
  readonly isWhole: boolean;
  readonly counts: object;
  readonly text: string;
}

/** Deletes rows before state, because an instance would reload the state from the rows. */
async function carryOut(
  io: CliIo,
  flags: ChangeFlags,
  stores: Stores,
  device: DeviceId,
): Promise<Gone> {
  const mark = deviceMark(stores.config, device);
  const rows = await onTables(stores, (client) => forgetDevice(client, device, io.signal));
  const { streams } = stores;
  const asked = await overShards(streams, (store) =>
    createSwitches(store.redis, placeOf(store).keys).dropState(device),
  );
  await setTimeout(requestMs, undefined, { signal: io.signal }).catch(() => undefined);
  const cleared = await overShards(without(streams, asked.missing), (store) =>
    removeTraces(io, store, device),
  );
  const failed = [...asked.missing, ...cleared.missing];
  reportUnchanged(io, failed);
  const of = sumOf(cleared.answered.map(({ value }) => value));
  const removed = {
    entries: of.settled,
    dead_letters: of.deadLetters,
    audit_lines: of.audit,
    requests: of.requests,
  };
  const left = await findTraces(io, stores, device);
  const isWhole = failed.length === 0 && isNothing(left) && !io.signal.aborted;
  const counts = { ...rows, ...removed, whole: isWhole };
  const detail = Object.entries(counts).map(([name, value]) => `${name}=${value}`);
  await noteChange(io, flags, stores, 'device forget', `${mark} ${detail.join(' ')}`);
  const again = isWhole ? '' : '; something of it came meanwhile or is left: run this again';
  return { isWhole, counts, text: `forgot ${mark}: ${detail.join(' ')}${again}` };
}

/** @returns how many were removed */
async function removeTraces(io: CliIo, store: StreamStore, device: DeviceId): Promise<Counts> {
  const redis = await store.redis();
  const place = placeOf(store);
  const traces = await findDevice(redis, place, device, io.signal);
  return {
    settled: await removeEntries(redis, place.key, traces.settled),
    unsettled: 0,
    deadLetters: await removeEntries(redis, place.deadLetterKey, traces.deadLetters),
    audit: await removeEntries(redis, place.keys.audit, traces.audit),
    requests: await removeEntries(redis, place.keys.requests, traces.requests),
  };
}

function isNothing({ rows, traces, missing }: Found): boolean {
  const left = Object.values(traces).reduce((sum, count) => sum + count, rows.rows + rows.derived);
  return left === 0 && missing.length === 0;
}

function jsonOf({ rows, traces }: Found): object {
  return {
    ...rows,
    entries: traces.settled,
    unsettled_entries: traces.unsettled,
    dead_letters: traces.deadLetters,
    audit_lines: traces.audit,
    requests: traces.requests,
  };
}

function textOf(found: Found): string {
  return Object.entries(jsonOf(found))
    .map(([name, count]) => `${name}=${count}`)
    .join(' ');
}
