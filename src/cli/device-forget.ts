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
    const mark = deviceMark(stores.config, device);
    const json = { device: mark, ...jsonOf(found) };
    const counts = textOf(found);
    if (found.traces.unsettled > 0 && !flags.dryRun) return refuse(io, found.traces.unsettled);
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
  readonly traces: DeviceTraces;
}

async function findTraces(io: CliIo, stores: Stores, device: DeviceId): Promise<Found> {
  const traces = await findDevice(await stores.redis(), placeOf(stores), device, io.signal);
  return { rows: await onTables(stores, (client) => countDevice(client, device)), traces };
}

function placeOf({ config }: Stores): ForgetPlace {
  return { ...config.stream, keys: controlKeys(config.stream.key) };
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
  const redis = await stores.redis();
  const place = placeOf(stores);
  await createSwitches(stores.redis, place.keys).dropState(device);
  await setTimeout(requestMs, undefined, { signal: io.signal }).catch(() => undefined);
  const traces = await findDevice(redis, place, device, io.signal);
  const removed = {
    entries: await removeEntries(redis, place.key, traces.settled),
    dead_letters: await removeEntries(redis, place.deadLetterKey, traces.deadLetters),
    audit_lines: await removeEntries(redis, place.keys.audit, traces.audit),
    requests: await removeEntries(redis, place.keys.requests, traces.requests),
  };
  const left = await findTraces(io, stores, device);
  const isWhole = isNothing(left) && !io.signal.aborted;
  const counts = { ...rows, ...removed, whole: isWhole };
  const detail = Object.entries(counts).map(([name, value]) => `${name}=${value}`);
  await noteChange(io, flags, stores, 'device forget', `${mark} ${detail.join(' ')}`);
  const again = isWhole ? '' : '; something of it came meanwhile or is left: run this again';
  return { isWhole, counts, text: `forgot ${mark}: ${detail.join(' ')}${again}` };
}

function isNothing({ rows, traces }: Found): boolean {
  const { settled, unsettled, deadLetters, audit, requests } = traces;
  const ids = [settled, deadLetters, audit, requests];
  return rows.rows + rows.derived + unsettled === 0 && ids.every((list) => list.length === 0);
}

function jsonOf({ rows, traces }: Found): object {
  return {
    ...rows,
    entries: traces.settled.length,
    unsettled_entries: traces.unsettled,
    dead_letters: traces.deadLetters.length,
    audit_lines: traces.audit.length,
    requests: traces.requests.length,
  };
}

function textOf(found: Found): string {
  return Object.entries(jsonOf(found))
    .map(([name, count]) => `${name}=${count}`)
    .join(' ');
}
