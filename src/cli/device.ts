import type { Command } from 'commander';
import { register as registerForget } from './device-forget.ts';
import { register as registerRehydrate } from './device-rehydrate.ts';
import { register as registerShow } from './device-show.ts';
import type { SetExitCode } from './options.ts';

/** Registers the commands of `processor device`. */
export function register(device: Command, setExitCode: SetExitCode): void {
  registerShow(device.command('show'), setExitCode);
  registerForget(device.command('forget'), setExitCode);
  registerRehydrate(device.command('rehydrate'), setExitCode);
}
