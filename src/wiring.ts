import type { Config } from './config/load.ts';
import { createAccount } from './core/account.ts';
import { Batcher } from './core/batcher.ts';
import { DeviceStates } from './core/device-state.ts';
import { Guard } from './core/guard.ts';
import { InFlight } from './core/in-flight.ts';
import { Pipeline } from './core/pipeline.ts';
import { createPoisonIsolation } from './core/poison-isolation.ts';
import type { Dependency, Logger } from './core/types.ts';
import { createChunkBudget } from './db/chunk-budget.ts';
import { openDatabase } from './db/pool.ts';
import { createPositionWriter } from './db/position-writer.ts';
import { createRehydrate } from './db/rehydration.ts';
import type { Health } from './lifecycle/health.ts';
import { createRecentErrors } from './lifecycle/recent-errors.ts';
import { createConsumerEvents } from './observability/consumer-events.ts';
import { createDeadLetterGuardEvents, createGuardEvents } from './observability/guard-events.ts';
import { createHttpEndpoint } from './observability/http.ts';
import { createHttpEvents } from './observability/http-events.ts';
import type { Metrics } from './observability/metrics.ts';
import { createPipelineEvents } from './observability/pipeline-events.ts';
import { scrub } from './observability/scrub.ts';
import { bothEvents, type Tracing } from './observability/tracing.ts';
import { createAcknowledger } from './stream/acknowledger.ts';
import { createConsumer } from './stream/consumer.ts';
import { createControl } from './stream/control.ts';
import { controlKeys } from './stream/control-keys.ts';
import { createCrashCounts } from './stream/crash-counts.ts';
import { entryTimeMs } from './stream/entry-id.ts';
import { createKeeper } from './stream/keeper.ts';
import { createLossRecord } from './stream/losses.ts';
import { createConnection, openRedis } from './stream/redis.ts';
import { createInterpret, type Interpret } from './teltonika/interpret.ts';

/** Chunks one statement may touch; far below what the default lock table holds. */
const maxChunksPerStatement = 48;
/** Beyond the block time, before a silent connection counts as dead. */
const readSlackMs = 3000;
/** Pauses before a failed dependency is asked again. */
export const retry = { minMs: 100, maxMs: 5000 };
/** Errors that the dump of a panic tells of. */
const recentErrors = 20;

/** The service's rooms, joined and not yet started. */
export type Rooms = ReturnType<typeof wireRooms>;

/** Builds every part and hands each what it needs of the others; starts nothing. */
export function wireRooms(
  config: Config,
  metrics: Metrics,
  health: Health,
  log: Logger,
  tracing: Tracing | null = null,
  interpret: Interpret = createInterpret(config.validation, Date.now, {
    onLuhnFailure: () => metrics.luhnFailures.inc(),
    onMessage: (codec) => metrics.messages.inc({ codec }),
  }),
) {
  const { stream, redis, database: db, pipeline: limits } = config;
  const now = () => Date.now();
  const http = createHttpEndpoint({
    ...{ ...config.http, registry: metrics.registry, health },
    onEvicted: createHttpEvents(metrics, log).evicted,
  });

  const database = openDatabase(
    {
      url: db.url,
      tls: db.tls,
      applicationName: `processor:${config.service.instance}`,
      // One more than the writers: a look-up of devices must not wait for a batch.
      size: limits.writers + 1,
      connectTimeoutMs: db.connectTimeoutMs,
      statementTimeoutMs: db.statementTimeoutMs,
      lockTimeoutMs: db.lockTimeoutMs,
      deadlineMs: db.insertDeadlineMs,
      needsPrimary: true,
    },
    log,
  );
  const writer = createPositionWriter(database, {
    chunkIntervalMs: db.chunkIntervalMs,
    maxChunksPerStatement,
    chunkBudget: createChunkBudget({ ...db, perDay: db.oldChunksPerDay, now }),
    mayBeCompressed: (ts) => db.columnstoreAfterMs !== null && ts < now() - db.columnstoreAfterMs,
  });

  const openAs = (role: 'reader' | 'writer', commandTimeoutMs: number) => () =>
    openRedis(
      {
        url: redis.url,
        tls: redis.tls,
        connectionName: `processor:${config.service.instance}:${role}`,
        connectTimeoutMs: redis.connectTimeoutMs,
        commandTimeoutMs,
        onReconnect: () => metrics.redisReconnects.inc({ role }),
      },
      log,
    );
  const account = createAccount((outcome, records) => metrics.records.inc({ outcome }, records));
  const connection = createConnection(openAs('writer', redis.commandTimeoutMs), stream.key);
  const keys = controlKeys(stream.key);
  const losses = createLossRecord(connection.ready, keys.lost, now);
  const consumer = createConsumer(
    openAs('reader', redis.commandTimeoutMs),
    connection.ready,
    { ...stream, slackMs: readSlackMs, now },
    createConsumerEvents(metrics, log, account, losses.add),
  );
  const acknowledger = createAcknowledger(
    connection.ready,
    { ...stream, instance: config.service.instance, maxFieldBytes: stream.deadLetterMaxBytes },
    now,
  );

  const inFlight = new InFlight({ records: limits.inFlightRecords, bytes: limits.inFlightBytes });
  const batcher = new Batcher({ rows: limits.batchRows, bytes: limits.batchBytes });
  const states = new DeviceStates({
    ...config.deviceState,
    rehydrate: createRehydrate(database),
    now,
    onLookup: (result, devices) =>
      (result === 'hit' ? metrics.deviceStateHits : metrics.deviceStateMisses).inc(devices),
    onRehydrated: (result, devices) => metrics.rehydrations.inc({ result }, devices),
    onEvicted: () => metrics.deviceStateEvictions.inc(),
  });
  metrics.deviceStateCapacity.set(config.deviceState.capacity);
  metrics.bufferLimitRecords.set(limits.inFlightRecords);

  const errors = createRecentErrors(recentErrors);
  const guardEvents = createGuardEvents(metrics, log, {
    onDependency: health.set,
    onError: ({ code, message }) => errors.add(code, scrub(message)),
  });
  const guardOf = (dependency: Dependency, events = guardEvents) =>
    new Guard({ dependency, backoff: retry, ...config.retry }, events);
  const guards = { redis: guardOf('redis'), database: guardOf('database') };
  const deadLetterGuard = guardOf(
    'redis',
    createDeadLetterGuardEvents(metrics, log, {
      onState: (state) => health.set('dead_letters', state),
      onError: ({ code, message }) => errors.add(code, scrub(message)),
    }),
  );
  health.set('dead_letters', 'ok');
  const told = createPipelineEvents(metrics, log, { now, entryTimeMs });
  const events = tracing === null ? told : bothEvents(told, tracing.events);
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
    interpret,
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
  const keep = createKeeper(connection.ready, stream);
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
    keep,
    losses,
    errors,
  };
}
