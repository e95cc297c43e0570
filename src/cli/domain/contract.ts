import type { Command } from 'commander';
import type { ContractFault, RefusedGeofence } from '../../domain/contract.ts';
import { countText, plural } from '../format.ts';
import { type CliIo, cliExits, type OutputFlags, print } from '../io.ts';
import { cliIo, positive, type SetExitCode } from '../options.ts';
import { printable } from '../printable.ts';
import { withStores } from '../stores.ts';
import { table } from '../table.ts';
import { type ContractView, viewContract } from './contract-view.ts';

interface ContractFlags extends OutputFlags {
  /** Refused geofences that are listed; all are counted. */
  readonly limit: number;
}

/** Registers `processor domain contract`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .description('check the views and the table of Directus, and print what fixes them')
    .option('--limit <geofences>', 'maximum of refused geofences listed', positive, 20)
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText(
      'after',
      '\nExit codes: 0 the contract is as promised, also with warnings; 1 failed; 3 the contract is broken, or rows of the views are refused.',
    )
    .action(async (flags: ContractFlags) => setExitCode(await runDomainContract(cliIo(), flags)));
}

/** The codes of other commands, and 3 for a domain that needs attention. */
export const domainExits = { ...cliExits, attention: 3 } as const;

/** `processor domain contract`: the check that the service makes, with the login of the domain. */
export function runDomainContract(io: CliIo, flags: ContractFlags): Promise<number> {
  return withStores<number>(io, async (stores) => {
    const view = await viewContract(stores);
    print(io, flags, contractJson(view, flags.limit), textOf(view, flags.limit));
    const { refused, assignments } = refusedOf(view);
    const isWell = view.faults.length === 0 && refused.length + assignments === 0;
    return isWell ? domainExits.ok : domainExits.attention;
  });
}

/** Rows of the views that are not evaluated. */
export function refusedOf({ reading }: ContractView): {
  readonly refused: readonly RefusedGeofence[];
  readonly assignments: number;
} {
  return {
    refused: reading?.contract.refused ?? [],
    assignments: reading?.contract.refusedAssignments ?? 0,
  };
}

/** The names are an interface. */
export function contractJson(view: ContractView, limit: number): object {
  const { faults, warnings, reading } = view;
  const { refused, assignments } = refusedOf(view);
  return {
    ok: faults.length === 0,
    faults,
    warnings,
    geofences: reading === null ? null : reading.contract.index.all.length,
    refused_geofences: refused.length,
    refused: refused.slice(0, limit),
    refused_assignments: assignments,
  };
}

function textOf(view: ContractView, limit: number): string {
  const { faults, warnings } = view;
  return [
    ...faults.flatMap((fault) => faultLines('x', fault)),
    ...warnings.flatMap((fault) => faultLines('!', fault)),
    ...refusedLines(view, limit),
    lastLine(view),
  ].join('\n');
}

function faultLines(mark: 'x' | '!', { object, problem, advice }: ContractFault): string[] {
  return [`${mark} ${printable(object)}: ${printable(problem)}`, `    ${printable(advice)}`];
}

function refusedLines(view: ContractView, limit: number): string[] {
  const { refused, assignments } = refusedOf(view);
  const rows = refused.slice(0, limit).map(({ geofence, reason }) => [geofence, reason]);
  const lines = rows.length === 0 ? [] : [table([['REFUSED GEOFENCE', 'REASON'], ...rows])];
  const unlisted = refused.length - rows.length;
  if (unlisted > 0) lines.push(`and ${countText(unlisted)} more; list them with --limit`);
  if (assignments > 0) {
    const found = plural(assignments, 'row', 'rows');
    lines.push(`${found} of devices_v1 without a usable imei or device`);
  }
  return lines;
}

function lastLine({ faults, reading }: ContractView): string {
  if (reading === null) {
    return `the contract is broken: ${plural(faults.length, 'fault', 'faults')}; the domain is off until it is fixed`;
  }
  const geofences = plural(reading.contract.index.all.length, 'geofence', 'geofences');
  return `the contract is as promised: ${geofences} evaluated`;
}
