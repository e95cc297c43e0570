import type { Command } from 'commander';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { isDeviceId } from '../teltonika/imei.ts';
import { askConsent, type ChangeFlags, operatorOf } from './change.ts';
import { deviceMark } from './device-mark.ts';
import { type CliExit, type CliIo, cliExits, print } from './io.ts';
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
 * `processor device rehydrate <imei>`: every running instance drops what it knows of the device,
 * so that its next record looks it up in the table.
 */
export function runRehydrate(io: CliIo, device: string, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    if (!isDeviceId(device)) {
      io.stderr.write('processor: an IMEI has 15 digits\n');
      return cliExits.refused;
    }
    const consent = await askConsent(io, flags, `drop the state of ${device} on all instances`);
    if (consent === 'refused') return cliExits.refused;
    if (consent === 'dry_run') {
      print(io, flags, { dry_run: true, requested: false }, `would drop the state of ${device}`);
      return cliExits.ok;
    }
    const switches = createSwitches(redis, controlKeys(config.stream.key));
    const mark = deviceMark(config, device);
    await switches.request({ command: 'rehydrate', device }, operatorOf(io, flags), mark);
    const text = 'requested; running instances drop the state within two seconds';
    print(io, flags, { requested: true }, text);
    return cliExits.ok;
  });
}
