import type { Command } from 'commander';
import type { DeviceId } from '../core/types.ts';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { isDeviceId } from '../teltonika/imei.ts';
import { type ChangeFlags, type Done, makeChange, operatorOf } from './change.ts';
import { deviceMark } from './device-mark.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { inShards, linesOf, reportUnchanged, shardsJson } from './shard-text.ts';
import { exitOf, overShards, type ShardFlags, sharded } from './shards.ts';
import { type Stores, withStores } from './stores.ts';

/** Registers `processor device rehydrate`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  sharded(changing(command))
    .description('make running instances read the state of the device from the table again')
    .argument('<imei>', '15 digits')
    .addHelpText('after', changeExits)
    .action(async (imei: string, flags: ChangeFlags & ShardFlags) =>
      setExitCode(await runRehydrate(cliIo(), imei, flags)),
    );
}

/**
 * `processor device rehydrate <imei>`: every running instance drops its state of the device, and
 * reads it from the table again at the next record.
 */
export function runRehydrate(
  io: CliIo,
  device: string,
  flags: ChangeFlags & ShardFlags,
): Promise<CliExit> {
  return withStores(
    io,
    async (stores) => {
      if (!isDeviceId(device)) {
        io.stderr.write('processor: an IMEI has 15 digits\n');
        return cliExits.refused;
      }
      return await makeChange(io, flags, {
        what: `drop the state of ${device} on all instances`,
        planned: { requested: false },
        carryOut: () => requestAll(io, flags, stores, device),
      });
    },
    flags,
  );
}

/** In every shard, because an instance that reads only some may have seen a record in a wrong one. */
async function requestAll(
  io: CliIo,
  flags: ChangeFlags,
  { config, streams }: Stores,
  device: DeviceId,
): Promise<Done> {
  const mark = deviceMark(config, device);
  const answers = await overShards(streams, async ({ stream, redis }) => {
    const switches = createSwitches(redis, controlKeys(stream.key));
    await switches.request({ command: 'rehydrate', device }, operatorOf(io, flags), mark);
    return { requested: true };
  });
  const { answered, missing } = answers;
  reportUnchanged(io, missing);
  return {
    result: { requested: missing.length === 0, ...shardsJson(config, answers, (value) => value) },
    text: linesOf(
      answered,
      (_, stores) =>
        `requested${inShards(stores)}; running instances drop the state within two seconds`,
    ),
    exit: exitOf(missing),
  };
}
