import type { Command } from 'commander';
import { type DomainPause, resumeDomain } from '../../db/domain-operators.ts';
import { noteChange } from '../audit.ts';
import { type ChangeFlags, makeChange } from '../change.ts';
import type { CliExit, CliIo } from '../io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from '../options.ts';
import { printable } from '../printable.ts';
import { withStores } from '../stores.ts';
import { onDomain } from './session.ts';

/** Registers `processor domain resume`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(command)
    .description('compute timing records again on all instances')
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags) => setExitCode(await runDomainResume(cliIo(), flags)));
}

/** `processor domain resume`: ends the pause of the domain. */
export function runDomainResume(io: CliIo, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, (stores) =>
    makeChange(io, flags, {
      what: 'resume the domain on all instances',
      planned: { resumed: false },
      async carryOut() {
        const ended = await onDomain(stores, resumeDomain);
        if (ended === null) {
          const result = { resumed: false, pause: null };
          return { result, text: 'the domain was not paused' };
        }
        return {
          result: { resumed: true, pause: ended },
          text: `the domain is resumed; it was ${pauseText(ended)}`,
          audit: () => noteChange(io, flags, stores, 'domain resume', pauseText(ended)),
        };
      },
    }),
  );
}

/** Who paused the domain, when and why. */
export function pauseText({ by, since, reason }: DomainPause): string {
  return `paused by ${printable(by)} at ${since.toISOString()}: ${printable(reason)}`;
}
