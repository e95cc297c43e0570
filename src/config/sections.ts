import type { CompleteValues } from './complete.ts';
import { readTopology, withRedisPassword } from './redis-url.ts';
import { arrangeStreams } from './streams.ts';
import type { Transport } from './transport.ts';
import { withPassword } from './urls.ts';

/** The whole configuration, frozen, in the sections that the parts of the service take. */
export type Config = ReturnType<typeof arrangeSections>;

/** Arranges values without problems into sections. @param hostname the default consumer name */
export function arrangeSections(
  values: CompleteValues,
  hostname: string,
  transport: Pick<Transport, 'redisTls' | 'databaseTls'>,
) {
  const consumer = values.consumer ?? hostname;
  const { shards, streams } = arrangeStreams(values, consumer);
  return deepFreeze({
    service: { env: values.environment, instance: values.instance ?? consumer },
    redis: {
      ...redisServers(values),
      tls: transport.redisTls,
      connectTimeoutMs: values.redisConnectTimeoutMs,
      commandTimeoutMs: values.redisCommandTimeoutMs,
    },
    shards,
    streams,
    database: {
      ...databaseUrls(values),
      tls: transport.databaseTls,
      connectTimeoutMs: values.postgresConnectTimeoutMs,
      statementTimeoutMs: values.statementTimeoutMs,
      insertDeadlineMs: values.insertDeadlineMs,
      lockTimeoutMs: values.lockTimeoutMs,
      migrations: values.migrations,
      migrationLockTimeoutMs: values.migrationLockTimeoutMs,
      timescaledb: values.timescaledb,
      chunkIntervalMs: values.chunkIntervalMs,
      lateHorizonMs: values.lateHorizonMs,
      oldChunksPerDay: values.oldChunksPerDay,
      columnstoreAfterMs: nullIfOff(values.columnstoreAfterMs),
      retentionMs: nullIfOff(values.retentionMs),
      aggregates: values.aggregates === 'on',
    },
    pipeline: {
      writers: values.writers,
      batchRows: values.batchRows,
      batchBytes: values.batchBytes,
      inFlightRecords: values.inFlightRecords,
      inFlightBytes: values.inFlightBytes,
    },
    validation: {
      tsMaxPastMs: values.tsMaxPastMs,
      tsMaxFutureMs: values.tsMaxFutureMs,
      maxRecords: values.maxRecords,
      maxEntryBytes: values.maxEntryBytes,
      io16: values.io16,
    },
    deviceState: {
      capacity: values.deviceCapacity,
      rehydrateHorizonMs: values.rehydrateHorizonMs,
      negativeTtlMs: values.negativeTtlMs,
    },
    domain: domainSection(values),
    http: { host: values.httpHost, port: values.httpPort },
    log: { level: values.logLevel },
    tracing: {
      endpoint: values.tracingEndpoint,
      sampleRatio: values.tracingSamplePercent / 100,
    },
    retry: {
      retriesPerMinute: values.retriesPerMinute,
      breaker: {
        errorRate: values.breakerErrorPercent / 100,
        samples: values.breakerSamples,
        minSamples: values.breakerMinSamples,
        coolDownMs: values.breakerCoolDownMs,
      },
    },
    lifecycle: {
      drainBudgetMs: values.drainBudgetMs,
      stallLimitMs: values.stallLimitMs,
      panicDir: values.panicDir,
    },
    audit: { key: values.auditKey },
  });
}

/** Where the servers of Redis are, and with which logins. */
export function redisServers({
  redisUrl,
  redisPassword,
  redisSentinelUser: username,
  redisSentinelPassword: password,
  redisNatMap,
}: Pick<
  CompleteValues,
  'redisUrl' | 'redisPassword' | 'redisSentinelUser' | 'redisSentinelPassword' | 'redisNatMap'
>) {
  const url = withRedisPassword(redisUrl, redisPassword);
  return { url, topology: readTopology(url, { username, password }), natMap: redisNatMap ?? [] };
}

function databaseUrls(values: CompleteValues) {
  const { migrationPostgresUrl, migrationPostgresPassword } = values;
  return {
    url: withPassword(values.postgresUrl, values.postgresPassword),
    migrationUrl: urlOfRole(values, migrationPostgresUrl, migrationPostgresPassword),
  };
}

/** The URL of another role, with its password; by default both are those of the service. */
function urlOfRole(
  { postgresUrl, postgresPassword }: CompleteValues,
  url: string | null,
  password: string | null,
): string {
  if (url === null) return withPassword(postgresUrl, postgresPassword);
  return withPassword(url, password ?? postgresPassword);
}

function domainSection(values: CompleteValues) {
  return {
    enabled: values.domain === 'on',
    url: urlOfRole(values, values.domainPostgresUrl, values.domainPostgresPassword),
    minSatellites: values.domainMinSatellites,
    maxHopMs: values.domainMaxHopMs,
    pollMs: values.domainPollMs,
    recomputeHorizonMs: values.domainRecomputeHorizonMs,
    batchDevices: values.domainBatchDevices,
    outboxMax: values.domainOutboxMax,
    maxGeofences: values.domainMaxGeofences,
    maxVertices: values.domainMaxVertices,
    timingTable: values.domainTimingTable,
    subjectColumn: values.domainSubjectColumn,
  };
}

function nullIfOff(value: number | 'off'): number | null {
  return value === 'off' ? null : value;
}

function deepFreeze<Value extends object>(value: Value): Readonly<Value> {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner);
  }
  return Object.freeze(value);
}
