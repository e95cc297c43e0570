import type { CompleteValues } from './complete.ts';
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
  return deepFreeze({
    service: { env: values.environment, instance: values.instance ?? consumer },
    redis: {
      url: withPassword(values.redisUrl, values.redisPassword),
      tls: transport.redisTls,
      connectTimeoutMs: values.redisConnectTimeoutMs,
      commandTimeoutMs: values.redisCommandTimeoutMs,
    },
    stream: {
      key: values.streamKey,
      group: values.group,
      consumer,
      readCount: values.readCount,
      blockMs: values.blockMs,
      claimThresholdMs: values.claimThresholdMs,
      claimIntervalMs: values.claimIntervalMs,
      consumerIdleMs: values.consumerIdleMs,
      maxDeliveries: values.maxDeliveries,
      deadLetterKey: values.deadLetterKey ?? `${values.streamKey}:dlq`,
      deadLetterMaxEntries: values.deadLetterMaxEntries,
      deadLetterStreamMaxBytes: values.deadLetterStreamMaxBytes,
      deadLetterMaxBytes: values.deadLetterMaxBytes,
    },
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

/** Both database URLs with their passwords; migrations use the service's URL by default. */
function databaseUrls(values: CompleteValues) {
  const { postgresPassword, migrationPostgresUrl, migrationPostgresPassword } = values;
  const url = withPassword(values.postgresUrl, postgresPassword);
  if (migrationPostgresUrl === null) return { url, migrationUrl: url };
  const password = migrationPostgresPassword ?? postgresPassword;
  return { url, migrationUrl: withPassword(migrationPostgresUrl, password) };
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
