import type { z } from 'zod';
import type { Field } from './fields.ts';
import { orderProblems } from './order.ts';
import { type Environment, type Report, readField, show } from './read.ts';
import { tableLifeProblems } from './table-life.ts';
import { describeTls, readTransport, type Transport } from './transport.ts';
import { variables } from './variables.ts';

type Variables = typeof variables;
type Values = { readonly [Key in keyof Variables]: z.output<Variables[Key]['schema']> | null };

export interface ConfigProblem {
  readonly variable: string;
  /** What was found; never a secret's value. */
  readonly got: string;
  readonly expected: string;
  readonly example: string;
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** What load needs of the machine. */
export interface ConfigHost {
  readonly hostname: string;
  /** @throws when the file cannot be read */
  readFile(path: string): string;
}

/** The whole configuration, frozen. */
export type Config = ReturnType<typeof arrange>;

/** Environment to configuration; every problem at once. An empty variable counts as unset. */
export function loadConfig(env: Environment, host: ConfigHost): ConfigResult {
  const problems: ConfigProblem[] = [];
  const report: Report = ({ name, shape, example }, got) =>
    problems.push({ variable: name, got, expected: shape, example: `${name}=${example}` });
  const values = readValues(env, host, report);
  checkHostname(values, host, report);
  problems.push(...orderProblems(values));
  problems.push(...tableLifeProblems(values));
  checkStreams(values, report);
  const transport = readTransport(values, env, host);
  problems.push(...transport.problems);
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, config: arrange(values, host, transport) };
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

/** The host name stands in for the consumer's name, and must be fit for that. */
function checkHostname(values: Values, host: ConfigHost, report: Report): void {
  const { consumer } = variables;
  if (values.consumer !== null || consumer.schema.safeParse(host.hostname).success) return;
  report(consumer, `nothing, and the host name ${show(host.hostname)}`);
}

/** A dead letter in the stream that is read would be read, rejected and written again for ever. */
function checkStreams({ streamKey, deadLetterKey }: Values, report: Report): void {
  if (deadLetterKey === null || deadLetterKey !== streamKey) return;
  const { deadLetterKey: field, streamKey: stream } = variables;
  const shape = `another stream than ${stream.name}`;
  report({ ...field, shape }, `${show(deadLetterKey)}, the same as ${stream.name}`);
}

function need<Value>(value: Value | null): Value {
  // Unreachable: a missing or bad value was reported, and then nothing is arranged.
  if (value === null) throw new TypeError('a required value is missing');
  return value;
}

function arrange(values: Values, host: ConfigHost, transport: Transport) {
  const consumer = values.consumer ?? host.hostname;
  const key = need(values.streamKey);
  const postgresUrl = withPassword(need(transport.postgresUrl), values.postgresPassword);
  return deepFreeze({
    service: { env: need(values.environment), instance: values.instance ?? consumer },
    redis: {
      url: withPassword(need(values.redisUrl), values.redisPassword),
      tls: transport.redisTls,
      connectTimeoutMs: need(values.redisConnectTimeoutMs),
      commandTimeoutMs: need(values.redisCommandTimeoutMs),
    },
    stream: {
      key,
      group: need(values.group),
      consumer,
      readCount: need(values.readCount),
      blockMs: need(values.blockMs),
      claimThresholdMs: need(values.claimThresholdMs),
      claimIntervalMs: need(values.claimIntervalMs),
      consumerIdleMs: need(values.consumerIdleMs),
      maxDeliveries: need(values.maxDeliveries),
      deadLetterKey: values.deadLetterKey ?? `${key}:dlq`,
      deadLetterMaxEntries: need(values.deadLetterMaxEntries),
      deadLetterStreamMaxBytes: need(values.deadLetterStreamMaxBytes),
      deadLetterMaxBytes: need(values.deadLetterMaxBytes),
    },
    database: {
      url: postgresUrl,
      migrationUrl:
        transport.migrationPostgresUrl === null
          ? postgresUrl
          : withPassword(
              transport.migrationPostgresUrl,
              values.migrationPostgresPassword ?? values.postgresPassword,
            ),
      tls: transport.databaseTls,
      connectTimeoutMs: need(values.postgresConnectTimeoutMs),
      statementTimeoutMs: need(values.statementTimeoutMs),
      insertDeadlineMs: need(values.insertDeadlineMs),
      lockTimeoutMs: need(values.lockTimeoutMs),
      migrations: need(values.migrations),
      migrationLockTimeoutMs: need(values.migrationLockTimeoutMs),
      timescaledb: need(values.timescaledb),
      chunkIntervalMs: need(values.chunkIntervalMs),
      lateHorizonMs: need(values.lateHorizonMs),
      oldChunksPerDay: need(values.oldChunksPerDay),
      columnstoreAfterMs: unlessOff(need(values.columnstoreAfterMs)),
      retentionMs: unlessOff(need(values.retentionMs)),
      aggregates: need(values.aggregates) === 'on',
    },
    pipeline: {
      writers: need(values.writers),
      batchRows: need(values.batchRows),
      batchBytes: need(values.batchBytes),
      inFlightRecords: need(values.inFlightRecords),
      inFlightBytes: need(values.inFlightBytes),
    },
    validation: {
      tsMaxPastMs: need(values.tsMaxPastMs),
      tsMaxFutureMs: need(values.tsMaxFutureMs),
      maxRecords: need(values.maxRecords),
      maxEntryBytes: need(values.maxEntryBytes),
      io16: need(values.io16),
    },
    deviceState: {
      capacity: need(values.deviceCapacity),
      rehydrateHorizonMs: need(values.rehydrateHorizonMs),
      negativeTtlMs: need(values.negativeTtlMs),
    },
    http: { host: need(values.httpHost), port: need(values.httpPort) },
    log: { level: need(values.logLevel) },
    tracing: {
      endpoint: values.tracingEndpoint,
      sampleRatio: need(values.tracingSamplePercent) / 100,
    },
    retry: {
      retriesPerMinute: need(values.retriesPerMinute),
      breaker: {
        errorRate: need(values.breakerErrorPercent) / 100,
        samples: need(values.breakerSamples),
        minSamples: need(values.breakerMinSamples),
        coolDownMs: need(values.breakerCoolDownMs),
      },
    },
    lifecycle: {
      drainBudgetMs: need(values.drainBudgetMs),
      stallLimitMs: need(values.stallLimitMs),
      panicDir: need(values.panicDir),
    },
  });
}

function unlessOff(value: number | 'off'): number | null {
  return value === 'off' ? null : value;
}

/** The URL with this password in place of its own; null changes nothing. */
export function withPassword(url: string, password: string | null): string {
  if (password === null) return url;
  const parsed = new URL(url);
  parsed.password = encodeURIComponent(password);
  return parsed.href;
}

function deepFreeze<Value extends object>(value: Value): Readonly<Value> {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner);
  }
  return Object.freeze(value);
}

/** A URL for people: host, port and path; of the login only which parts there are. */
export function redactUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return '(not a URL)';
  const { protocol, username, password, host, pathname } = parsed;
  const hidden = (part: string) => (part === '' ? '' : '***');
  const login = password === '' ? hidden(username) : `${hidden(username)}:***`;
  return `${protocol}//${login === '' ? '' : `${login}@`}${host}${pathname}`;
}

/** The effective configuration for people and logs: every URL without its login. */
export function describeConfig(config: Config): Config {
  const { redis, database, tracing } = config;
  const endpoint = tracing.endpoint === null ? null : redactUrl(tracing.endpoint);
  return {
    ...config,
    tracing: { ...tracing, endpoint },
    redis: { ...redis, url: redactUrl(redis.url), tls: describeTls(redis.tls) },
    database: {
      ...database,
      url: redactUrl(database.url),
      migrationUrl: redactUrl(database.migrationUrl),
      tls: describeTls(database.tls),
    },
  };
}
