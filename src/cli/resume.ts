import type { Command } from 'commander';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { type ChangeFlags, makeChange, operatorOf } from './change.ts';
import type { CliExit, CliIo } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { printable } from './printable.ts';
import { withStores } from './stores.ts';

/** Registers `processor resume`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(command)
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags) => setExitCode(await runResume(cliIo(), flags)));
}

/** `processor resume`: ends the pause. */
export function runResume(io: CliIo, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const { key } = config.stream;
    return await makeChange(io, flags, {
      what: `resume consumption of ${key} on all instances`,
      planned: { resumed: false },
      async carryOut() {
        const ended = await createSwitches(redis, controlKeys(key)).resume(operatorOf(io, flags));
        const text =
          ended === null
            ? `consumption of ${key} was not paused`
            : `consumption of ${key} is resumed; it was paused by ${printable(ended.by)} at ${printable(ended.at)}: ${printable(ended.reason)}`;
        return { result: { resumed: ended !== null, pause: ended }, text };
      },
    });
  });
}
