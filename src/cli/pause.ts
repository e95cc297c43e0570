import type { Command } from 'commander';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { type ChangeFlags, makeChange, operatorOf } from './change.ts';
import type { CliExit, CliIo } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { withStores } from './stores.ts';

/** Registers `processor pause`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(command)
    .requiredOption('--reason <text>', 'why, for the audit line and the log')
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags & { reason: string }) =>
      setExitCode(await runPause(cliIo(), flags)),
    );
}

/** `processor pause`: instances write what they hold and read no more until `resume`. */
export function runPause(io: CliIo, flags: ChangeFlags & { reason: string }): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const { key } = config.stream;
    return await makeChange(io, flags, {
      what: `pause consumption of ${key} on all instances`,
      planned: { paused: false },
      async carryOut() {
        const by = operatorOf(io, flags);
        const pause = { by, reason: flags.reason, at: new Date().toISOString() };
        const isNew = await createSwitches(redis, controlKeys(key)).pause(pause);
        const text = isNew
          ? `consumption of ${key} is paused; running instances stop within two seconds`
          : `consumption of ${key} was paused already`;
        return { result: { paused: true, changed: isNew }, text };
      },
    });
  });
}
