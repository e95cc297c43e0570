import type { Command } from 'commander';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { askConsent, type ChangeFlags, operatorOf } from './change.ts';
import { type CliExit, type CliIo, cliExits, print } from './io.ts';
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

/** `processor pause`: no instance reads until `resume`; what they hold is written first. */
export function runPause(io: CliIo, flags: ChangeFlags & { reason: string }): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const { key } = config.stream;
    const consent = await askConsent(io, flags, `pause consumption of ${key} on all instances`);
    if (consent === 'refused') return cliExits.refused;
    if (consent === 'dry_run') {
      print(io, flags, { dry_run: true, paused: false }, `would pause consumption of ${key}`);
      return cliExits.ok;
    }
    const pause = { by: operatorOf(io, flags), reason: flags.reason, at: new Date().toISOString() };
    const isNew = await createSwitches(redis, controlKeys(key)).pause(pause);
    const text = isNew
      ? `consumption of ${key} is paused; running instances stop within two seconds`
      : `consumption of ${key} was paused already`;
    print(io, flags, { paused: true, changed: isNew }, text);
    return cliExits.ok;
  });
}
