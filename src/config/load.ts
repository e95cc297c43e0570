import { assertComplete } from './complete.ts';
import { reportDomainProblems } from './domain-problems.ts';
import type { Field } from './fields.ts';
import { orderProblems } from './order.ts';
import { readField, show } from './read.ts';
import { arrangeSections, type Config } from './sections.ts';
import { reportStreamProblems } from './streams.ts';
import { tableLifeProblems } from './table-life.ts';
import { hashTagProblems, topologyProblems } from './topology-problems.ts';
import { readTransport } from './transport.ts';
import type { ConfigHost, ConfigProblem, Environment, Report, Values } from './types.ts';
import { variables } from './variables.ts';

export { describeConfig } from './describe.ts';
export type { Config } from './sections.ts';
export type { Shards, Stream } from './streams.ts';
export type { ConfigHost, ConfigProblem } from './types.ts';
export { redactUrl } from './urls.ts';

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/**
 * Reads the configuration from the environment and reports all problems at once.
 * An empty variable counts as unset.
 */
export function loadConfig(env: Environment, host: ConfigHost): ConfigResult {
  const problems: ConfigProblem[] = [];
  const report: Report = ({ name, shape, example }, got) =>
    problems.push({ variable: name, got, expected: shape, example: `${name}=${example}` });
  const values = readValues(env, host, report);
  checkHostname(values, host, report);
  problems.push(...orderProblems(values));
  problems.push(...tableLifeProblems(values));
  reportStreamProblems(values, report);
  problems.push(...topologyProblems(values), ...hashTagProblems(values));
  reportDomainProblems(values, report);
  const transport = readTransport(values, env, host);
  problems.push(...transport.problems);
  if (problems.length > 0) return { ok: false, problems };
  const { postgresUrl, migrationPostgresUrl, domainPostgresUrl } = transport;
  const effective = { ...values, postgresUrl, migrationPostgresUrl, domainPostgresUrl };
  assertComplete(effective);
  return { ok: true, config: arrangeSections(effective, host.hostname, transport) };
}

/** All problems as text for a terminal, one line each. */
export function formatProblems(problems: readonly ConfigProblem[]): string {
  const lines = problems.map(
    ({ variable, got, expected, example }) =>
      `  ${variable}: got ${got}; expected ${expected}, for example ${example}`,
  );
  return [`processor: the configuration has ${problems.length} problem(s):`, ...lines].join('\n');
}

function readValues(env: Environment, host: ConfigHost, report: Report): Values {
  const read = <Value>(field: Field<Value>): Value | null => readField(field, env, host, report);
  const entries = Object.entries(variables).map(([key, field]) => [key, read<unknown>(field)]);
  // The keys and the schemas' output types are those of `variables`, entry by entry.
  return Object.fromEntries(entries);
}

/** The host name is the default consumer name and must have the same form. */
function checkHostname(values: Values, host: ConfigHost, report: Report): void {
  const { consumer } = variables;
  if (values.consumer !== null || consumer.schema.safeParse(host.hostname).success) return;
  report(consumer, `nothing, and the host name ${show(host.hostname)}`);
}
