import type { Command } from 'commander';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { askConsent, type ChangeFlags, operatorOf } from './change.ts';
import { type CliExit, type CliIo, cliExits, print } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { printable } from './printable.ts';
import { withStores } from './stores.ts';

/** Registers `processor resume`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(command)
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags) => setExitCode(await runResume(cliIo(), flags)));
}

/** `processor resume`: takes the pause back. */
export function runResume(io: CliIo, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const { key } = config.stream;
    const consent = await askConsent(io, flags, `resume consumption of ${key} on all instances`);
    if (consent === 'refused') return cliExits.refused;
    if (consent === 'dry_run') {
      print(io, flags, { dry_run: true, resumed: false }, `would resume consumption of ${key}`);
      return cliExits.ok;
    }
    const ended = await createSwitches(redis, controlKeys(key)).resume(operatorOf(io, flags));
    const text =
      ended === null
        ? `consumption of ${key} was not paused`
        : `consumption of ${key} is resumed; it was paused by ${printable(ended.by)} at ${printable(ended.at)}: ${printable(ended.reason)}`;
    print(io, flags, { resumed: ended !== null, pause: ended }, text);
    return cliExits.ok;
  });
}
