import type { Config } from '../config/load.ts';
import { createAccount } from '../core/account.ts';
import { Batcher } from '../core/batcher.ts';
import { InFlight } from '../core/in-flight.ts';
import { Pipeline } from '../core/pipeline.ts';
import { createPoisonIsolation } from '../core/poison-isolation.ts';
import type { Logger, PipelineEvents } from '../core/types.ts';
import type { Health } from '../lifecycle/health.ts';
import { createRecentErrors } from '../lifecycle/recent-errors.ts';
import { createHttpEndpoint } from '../observability/http.ts';
import { createHttpEvents } from '../observability/http-events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createPipelineEvents } from '../observability/pipeline-events.ts';
import { bothEvents } from '../observability/tracing.ts';
import { createAcknowledger } from '../stream/acknowledger.ts';
import { createClaimRenewal } from '../stream/claim-renewal.ts';
import { createControl } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { createCrashCounts } from '../stream/crash-counts.ts';
import { entryTimeMs } from '../stream/entry-id.ts';
import { createInterpret, type Interpret } from '../teltonika/interpret.ts';
import { buildDatabase, buildDeviceStates, buildWriter } from './database-parts.ts';
import { buildGuards } from './guard-parts.ts';
import { buildRedis } from './redis-parts.ts';

/** Errors that the dump of a panic contains. */
const maxRecentErrors = 20;

/** What the parts share, and what a caller may add or replace. */
export interface PartsOptions {
  readonly config: Config;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly log: Logger;
  /** A second subscriber of the pipeline's events, such as tracing. */
  readonly extraEvents?: PipelineEvents;
  readonly interpret?: Interpret;
}

/** The parts of the service, connected to each other and not yet started. */
export type Parts = ReturnType<typeof buildParts>;

/** Builds every part and passes each the others that it needs; starts nothing. */
export function buildParts(options: PartsOptions) {
  const { config, metrics, health, log } = options;
  const { stream, pipeline: limits } = config;
  const now = () => Date.now();
  const http = createHttpEndpoint({
    ...config.http,
    registry: metrics.registry,
    health,
    onEvicted: createHttpEvents(metrics, log).evicted,
  });
  const account = createAccount((outcome, records) => metrics.records.inc({ outcome }, records));
  const database = buildDatabase(config, log);
  const { connection, consumer, losses } = buildRedis(config, metrics, log, account);
  const acknowledger = createAcknowledger(
    connection.ready,
    { ...stream, instance: config.service.instance, maxFieldBytes: stream.deadLetterMaxBytes },
    now,
  );
  const inFlight = new InFlight({ records: limits.inFlightRecords, bytes: limits.inFlightBytes });
  const batcher = new Batcher({ rows: limits.batchRows, bytes: limits.batchBytes });
  const states = buildDeviceStates(config, metrics, database);
  const writer = buildWriter(config, database);
  metrics.bufferLimitRecords.set(limits.inFlightRecords);
  const errors = createRecentErrors(maxRecentErrors);
  const { guards, deadLetterGuard } = buildGuards({ config, metrics, health, log, errors });
  const ownEvents = createPipelineEvents(metrics, log, { now, entryTimeMs });
  const { extraEvents } = options;
  const events = extraEvents === undefined ? ownEvents : bothEvents(ownEvents, extraEvents);
  const keys = controlKeys(stream.key);
  const crashCounts = createCrashCounts(connection.ready, keys);
  const pipeline = new Pipeline({
    account,
    inFlight,
    batcher,
    states,
    guards,
    deadLetterGuard,
    isolation: createPoisonIsolation({ ...stream, ...crashCounts, guard: guards.redis, events }),
    read: consumer.read,
    interpret: options.interpret ?? buildInterpret(config, metrics),
    write: writer.write,
    acknowledge: acknowledger.acknowledge,
    async moveRound(held) {
      const result = await acknowledger.moveRound(held);
      // The reader recreates the group too, but not while these entries fill the in-flight budget.
      if (result.failure?.code === 'NOGROUP') await consumer.recreateGroup();
      return result;
    },
    events,
    options: { writers: limits.writers, readCount: stream.readCount },
  });
  const control = createControl(connection.ready, keys);
  const renewClaims = createClaimRenewal(connection.ready, stream);
  return {
    http,
    database,
    writer,
    consumer,
    connection,
    account,
    inFlight,
    batcher,
    states,
    guards,
    pipeline,
    control,
    renewClaims,
    losses,
    errors,
  };
}

function buildInterpret({ validation }: Config, metrics: Metrics): Interpret {
  return createInterpret(validation, Date.now, {
    onLuhnFailure: () => metrics.luhnFailures.inc(),
    onMessage: (codec) => metrics.messages.inc({ codec }),
    onScanFallback: () => metrics.scanFallbacks.inc(),
  });
}
