import type { Command } from 'commander';
import type { DeviceId } from '../../core/types.ts';
import { countParked, retryParked } from '../../db/domain-operators.ts';
import { noteChange } from '../audit.ts';
import { type ChangeFlags, makeChange } from '../change.ts';
import { deviceMark } from '../device-mark.ts';
import { plural } from '../format.ts';
import type { CliExit, CliIo } from '../io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from '../options.ts';
import { withStores } from '../stores.ts';
import { type DeviceFlags, oneOrAll, withDevice } from './devices.ts';
import { onDomain } from './session.ts';

/** Registers `processor domain retry`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  withDevice(changing(command))
    .description('return the ranges of parked devices to the outbox')
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags & DeviceFlags) =>
      setExitCode(await runDomainRetry(cliIo(), flags, oneOrAll(command, flags))),
    );
}

/**
 * `processor domain retry`: parked devices are computed again, with a new count of attempts.
 * @param device null: all
 */
export function runDomainRetry(
  io: CliIo,
  flags: ChangeFlags,
  device: DeviceId | null,
): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const parked = await onDomain(stores, (client) => countParked(client, device));
    return await makeChange(io, flags, {
      what: `return the ranges of ${plural(parked, 'parked device', 'parked devices')} to the outbox`,
      planned: { retried: 0, parked },
      isEmpty: parked === 0,
      async carryOut() {
        const retried = await onDomain(stores, (client) => retryParked(client, device));
        if (retried === 0) return { result: { retried }, text: 'no device is parked' };
        const devices = plural(retried, 'device', 'devices');
        const who = device === null ? 'all' : deviceMark(stores.config, device);
        return {
          result: { retried },
          text: `returned the ranges of ${devices} to the outbox`,
          audit: () => noteChange(io, flags, stores, 'domain retry', `${who} devices=${retried}`),
        };
      },
    });
  });
}
