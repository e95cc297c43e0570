import type { Command } from 'commander';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { isDeviceId } from '../teltonika/imei.ts';
import { type ChangeFlags, makeChange, operatorOf } from './change.ts';
import { deviceMark } from './device-mark.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { withStores } from './stores.ts';

/** Registers `processor device rehydrate`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(command)
    .description('make running instances read the state of the device from the table again')
    .argument('<imei>', '15 digits')
    .addHelpText('after', changeExits)
    .action(async (imei: string, flags: ChangeFlags) =>
      setExitCode(await runRehydrate(cliIo(), imei, flags)),
    );
}

/**
 * `processor device rehydrate <imei>`: every running instance drops its state of the device, and
 * reads it from the table again at the next record.
 */
export function runRehydrate(io: CliIo, device: string, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    if (!isDeviceId(device)) {
      io.stderr.write('processor: an IMEI has 15 digits\n');
      return cliExits.refused;
    }
    const mark = deviceMark(config, device);
    return await makeChange(io, flags, {
      what: `drop the state of ${device} on all instances`,
      planned: { requested: false },
      async carryOut() {
        const switches = createSwitches(redis, controlKeys(config.stream.key));
        await switches.request({ command: 'rehydrate', device }, operatorOf(io, flags), mark);
        const text = 'requested; running instances drop the state within two seconds';
        return { result: { requested: true }, text };
      },
    });
  });
}
