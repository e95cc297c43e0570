import type { Command } from 'commander';
import { type EffectiveVariable, effectiveVariables } from '../config/effective.ts';
import { processHost } from '../config/host.ts';
import { formatProblems, loadConfig } from '../config/load.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, type SetExitCode } from './options.ts';

/** Registers `processor config`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 the service would take it, 1 it has problems.')
    .action((flags: OutputFlags) => setExitCode(runConfig(cliIo(), flags)));
}

/**
 * `processor config`: prints the effective value and source of every variable, without secrets and
 * logins in URLs. Reports problems in the words of the service. Connects to no server.
 */
export function runConfig(io: CliIo, flags: OutputFlags): CliExit {
  const loaded = loadConfig(io.env, processHost());
  if (!loaded.ok) {
    io.stderr.write(`${formatProblems(loaded.problems)}\n`);
    if (flags.json) print(io, flags, { ok: false, problems: loaded.problems }, '');
    return cliExits.failed;
  }
  const variables = effectiveVariables(io.env, loaded.config);
  const rows = variables.map(({ title: _title, ...row }) => row);
  print(io, flags, { ok: true, variables: rows }, table(variables));
  return cliExits.ok;
}

/** Width of the value column; a longer value shifts only its own line. */
const maxValueWidth = 48;

function table(variables: readonly EffectiveVariable[]): string {
  const shownValue = ({ value }: EffectiveVariable) => value ?? '(none)';
  const nameWidth = Math.max(...variables.map(({ name }) => name.length));
  const longest = Math.max(...variables.map((variable) => shownValue(variable).length));
  const valueWidth = Math.min(maxValueWidth, longest);
  const line = (name: string, value: string, source: string) =>
    `${name.padEnd(nameWidth)}  ${value.padEnd(valueWidth)}  ${source}`;
  const titles = [...new Set(variables.map(({ title }) => title))];
  const groups = titles.map((title) => [
    '',
    `# ${title}`,
    ...variables
      .filter((variable) => variable.title === title)
      .map((variable) => line(variable.name, shownValue(variable), sourceOf(variable))),
  ]);
  return [line('VARIABLE', 'VALUE', 'SOURCE'), ...groups.flat()].join('\n');
}

function sourceOf({ source, file }: EffectiveVariable): string {
  return file === null ? source : `${source} ${file}`;
}
