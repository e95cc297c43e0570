import { type Command, InvalidArgumentError } from 'commander';
import type { DeviceId } from '../../core/types.ts';
import { isDeviceId } from '../../teltonika/imei.ts';

/** Maximum devices that a command lists or counts one by one. */
export const maxListed = 1000;

/** Which devices a command is for: one of the two must be given. */
export interface DeviceFlags {
  readonly device?: DeviceId;
  readonly all: boolean;
}

/** Adds `--device` and `--all`. */
export function withDevice(command: Command): Command {
  return command
    .option('--device <imei>', 'only this device: 15 digits', deviceId)
    .option('--all', 'all devices', false);
}

/** Parses the value of an option as an IMEI; commander reports the error. */
export function deviceId(text: string): DeviceId {
  if (!isDeviceId(text)) throw new InvalidArgumentError('expected an IMEI of 15 digits.');
  return text;
}

/** @returns one device, or null for all. @throws CommanderError unless exactly one was given */
export function oneOrAll(command: Command, { device, all }: DeviceFlags): DeviceId | null {
  if ((device === undefined) !== all) {
    command.error('error: give either --device <imei> or --all');
  }
  return device ?? null;
}
