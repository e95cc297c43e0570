import type { Command } from 'commander';
import type { ContractFault } from '../../domain/contract.ts';
import { plural } from '../format.ts';
import { type CliIo, cliExits, type OutputFlags, print } from '../io.ts';
import { cliIo, type SetExitCode } from '../options.ts';
import { printable } from '../printable.ts';
import { withStores } from '../stores.ts';
import { type ContractView, viewContract } from './contract-view.ts';

/** Registers `processor domain contract`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .description('check the views and the table of Directus, and print what fixes them')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText(
      'after',
      '\nExit codes: 0 the contract is as promised, also with warnings; 1 failed; 3 the contract is broken.',
    )
    .action(async (flags: OutputFlags) => setExitCode(await runDomainContract(cliIo(), flags)));
}

/** The codes of other commands, and 3 for a domain that needs attention. */
export const domainExits = { ...cliExits, attention: 3 } as const;

/** `processor domain contract`: the check that the service makes, with the login of the domain. */
export function runDomainContract(io: CliIo, flags: OutputFlags): Promise<number> {
  return withStores<number>(io, async (stores) => {
    const view = await viewContract(stores);
    const isOk = view.faults.length === 0;
    print(io, flags, { ok: isOk, ...view }, textOf(view));
    return isOk ? domainExits.ok : domainExits.attention;
  });
}

function textOf({ faults, warnings }: ContractView): string {
  const lines = [
    ...faults.flatMap((fault) => faultLines('x', fault)),
    ...warnings.flatMap((fault) => faultLines('!', fault)),
  ];
  const last =
    faults.length === 0
      ? 'the contract is as promised'
      : `the contract is broken: ${plural(faults.length, 'fault', 'faults')}; the domain stays off until it is fixed`;
  return [...lines, last].join('\n');
}

function faultLines(mark: 'x' | '!', { object, problem, advice }: ContractFault): string[] {
  return [`${mark} ${printable(object)}: ${printable(problem)}`, `    ${printable(advice)}`];
}
