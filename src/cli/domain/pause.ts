import type { Command } from 'commander';
import { pauseDomain } from '../../db/domain-operators.ts';
import { noteChange } from '../audit.ts';
import { type ChangeFlags, makeChange, operatorOf } from '../change.ts';
import type { CliExit, CliIo } from '../io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from '../options.ts';
import { withStores } from '../stores.ts';
import { onDomain } from './session.ts';

type PauseFlags = ChangeFlags & { readonly reason: string };

/** Registers `processor domain pause`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(command)
    .description('stop computing timing records on all instances until domain resume')
    .requiredOption('--reason <text>', 'why, for the audit line and domain status')
    .addHelpText('after', changeExits)
    .action(async (flags: PauseFlags) => setExitCode(await runDomainPause(cliIo(), flags)));
}

/** `processor domain pause`: positions are stored as before; the outbox grows until `resume`. */
export function runDomainPause(io: CliIo, flags: PauseFlags): Promise<CliExit> {
  return withStores(io, (stores) =>
    makeChange(io, flags, {
      what: 'pause the domain on all instances',
      planned: { paused: false },
      async carryOut() {
        const { reason } = flags;
        const pause = { by: operatorOf(io, flags), reason };
        const isNew = await onDomain(stores, (client) => pauseDomain(client, pause));
        if (!isNew) {
          const text = 'the domain was paused already';
          return { result: { paused: true, changed: false }, text };
        }
        return {
          result: { paused: true, changed: true },
          text: 'the domain is paused; running instances stop within two seconds',
          audit: () => noteChange(io, flags, stores, 'domain pause', reason),
        };
      },
    }),
  );
}
