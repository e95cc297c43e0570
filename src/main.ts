import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { type Config, formatProblems, loadConfig, redactUrl } from './config/load.ts';
import { createAccount } from './core/account.ts';
import { Batcher } from './core/batcher.ts';
import { DeviceStates } from './core/device-state.ts';
import { InFlight } from './core/in-flight.ts';
import { Pipeline } from './core/pipeline.ts';
import type { Entry, Interpretation, Logger } from './core/types.ts';
import { MigrationError } from './db/migration-error.ts';
import { migrate, readMigrations } from './db/migrator.ts';
import { openDatabase } from './db/pool.ts';
import { createPositionWriter } from './db/position-writer.ts';
import { createRehydrate } from './db/rehydration.ts';
import type { Storage } from './db/storage.ts';
import { createHealth, type Health } from './lifecycle/health.ts';
import { repeat } from './lifecycle/repeat.ts';
import { exitCodes, stopSignal } from './lifecycle/signals.ts';
import { keepTrying } from './lifecycle/start-up.ts';
import { createHttpEndpoint } from './observability/http.ts';
import { createLogger } from './observability/logger.ts';
import { createMetrics, type Metrics } from './observability/metrics.ts';
import { createPipelineEvents } from './observability/pipeline-events.ts';
import { showBacklog, showInstance } from './observability/sampling.ts';
import { createAcknowledger } from './stream/acknowledger.ts';
import { sampleBacklog } from './stream/backlog.ts';
import { createConsumer } from './stream/consumer.ts';
import { readEntry } from './stream/entry.ts';
import { createConnection, openRedis } from './stream/redis.ts';
import { isDeviceId, passesLuhn } from './teltonika/imei.ts';
import { interpretContent } from './teltonika/interpret.ts';
import { parseIsoMs } from './teltonika/iso-time.ts';

/** Chunks one statement may touch; far below what the default lock table holds. */
const maxChunksPerStatement = 48;
/** Pauses before a failed dependency is asked again. */
const retry = { minMs: 100, maxMs: 5000 };
const sampleEveryMs = 1000;
/** Beyond the block time, before a silent connection counts as dead. */
const readSlackMs = 3000;

/** `processor run`: the service from the environment to the exit code. */
export async function run(env: NodeJS.ProcessEnv, build: Build): Promise<number> {
  const loaded = loadConfig(env, {
    hostname: hostname(),
    readFile: (path) => readFileSync(path, 'utf8'),
  });
  if (!loaded.ok) {
    process.stderr.write(`${formatProblems(loaded.problems)}\n`);
    return exitCodes.failed;
  }
  const { config } = loaded;
  const log = createLogger({ ...config.service, level: config.log.level });
  const stopping = new AbortController();
  const signal = stopSignal(log).then((name) => {
    log.info({ signal: name }, 'stopping');
    stopping.abort();
  });
  try {
    return await serve(config, build, log, stopping.signal, signal);
  } catch (error) {
    if (stopping.signal.aborted) return exitCodes.ok;
    const code = error instanceof MigrationError ? error.code : 'unexpected';
    log.error({ code, err: error }, 'the service cannot go on');
    return exitCodes.failed;
  }
}

export interface Build {
  readonly version: string;
  readonly revision: string;
}

/** Wires the rooms, starts them in order, waits for the stop, stops them in reverse. */
async function serve(
  config: Config,
  build: Build,
  log: Logger,
  stopping: AbortSignal,
  stopped: Promise<void>,
): Promise<number> {
  const metrics = createMetrics(build);
  const health = createHealth(['startup', 'redis', 'database']);
  const rooms = wire(config, metrics, health, log);
  const { http, database, consumer, connection, pipeline } = rooms;

  await http.start();
  log.info({ ...http.address(), ...build }, 'probes and metrics are served');
  const storage = await startUp(config, rooms, health, log, stopping);
  announce(config, build, storage, log);
  pipeline.start();
  const endSampling = repeat(rooms.sample, sampleEveryMs);
  health.set('startup', 'ok');

  await Promise.race([stopped, pipeline.finished()]);

  health.set('startup', 'stopping');
  metrics.shutdownInProgress.set(1);
  const drained = await pipeline.drain(config.lifecycle.drainBudgetMs);
  await endSampling();
  consumer.close();
  connection.close();
  await database.close(1000);
  await http.stop();
  const left = rooms.inFlight.entries;
  if (!drained)
    log.error(
      { entries: left, entry_ids: rooms.inFlight.ids().slice(0, 20) },
      'drain budget spent; the rest stays pending',
    );
  else log.info({ ...rooms.account.totals() }, 'stopped; nothing left in flight');
  return drained ? exitCodes.ok : exitCodes.drainOverrun;
}

type Rooms = ReturnType<typeof wire>;

function wire(config: Config, metrics: Metrics, health: Health, log: Logger) {
  const { stream, redis, database: db, pipeline: limits, validation } = config;
  const now = () => Date.now();
  const http = createHttpEndpoint({ ...config.http, registry: metrics.registry, health });

  const database = openDatabase(
    {
      url: db.url,
      applicationName: `processor:${config.service.instance}`,
      // One more than the writers: a look-up of devices must not wait for a batch.
      size: limits.writers + 1,
      connectTimeoutMs: db.connectTimeoutMs,
      statementTimeoutMs: db.statementTimeoutMs,
      lockTimeoutMs: db.lockTimeoutMs,
      deadlineMs: db.insertDeadlineMs,
    },
    log,
  );
  const writer = createPositionWriter(database, {
    chunkIntervalMs: db.chunkIntervalMs,
    maxChunksPerStatement,
  });

  const openAs = (role: 'reader' | 'writer', commandTimeoutMs: number) => () =>
    openRedis(
      {
        url: redis.url,
        connectionName: `processor:${config.service.instance}:${role}`,
        connectTimeoutMs: redis.connectTimeoutMs,
        commandTimeoutMs,
        onReconnect: () => metrics.redisReconnects.inc({ role }),
      },
      log,
    );
  const connection = createConnection(openAs('writer', redis.commandTimeoutMs));
  const consumer = createConsumer(
    openAs('reader', stream.blockMs + 2 * readSlackMs),
    { ...stream, slackMs: readSlackMs, now },
    {
      groupRecreated: () => metrics.entriesLost.inc({ cause: 'group_recreated' }),
      lostPending: (ids) => {
        metrics.entriesLost.inc({ cause: 'trimmed_pending' }, ids.length);
        log.error(
          { entry_ids: ids.slice(0, 20), entries: ids.length },
          'entries were trimmed while pending',
        );
      },
      claimed: (entries) => {
        metrics.claims.inc(entries);
        log.warn({ entries }, 'entries of another instance taken over');
      },
    },
    log,
  );
  const acknowledger = createAcknowledger(
    connection.ready,
    { ...stream, instance: config.service.instance, maxFieldBytes: stream.deadLetterMaxBytes },
    now,
  );

  const account = createAccount((outcome, records) => metrics.records.inc({ outcome }, records));
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

  const entryLimits = { maxBytes: validation.maxEntryBytes, parseTime: parseIsoMs, isDeviceId };
  const interpret = (entry: Entry): Interpretation => {
    const reading = readEntry(entry, entryLimits);
    if (reading.kind === 'rejected') return reading;
    if (!passesLuhn(reading.content.deviceId)) metrics.luhnFailures.inc();
    const found = interpretContent(reading.content, { ...validation, nowMs: now() });
    if (found.kind === 'message') metrics.messages.inc({ codec: found.codec });
    return found;
  };
  const pipeline = new Pipeline({
    account,
    inFlight,
    batcher,
    states,
    read: consumer.read,
    interpret,
    write: writer.write,
    acknowledge: acknowledger.acknowledge,
    events: createPipelineEvents(metrics, log, { now, onDependency: health.set }),
    options: {
      writers: limits.writers,
      readCount: stream.readCount,
      retryMinMs: retry.minMs,
      retryMaxMs: retry.maxMs,
    },
  });

  const labels = { stream: stream.key, group: stream.group };
  const sample = async () => {
    showInstance(metrics, {
      inFlightRecords: inFlight.records,
      bufferedRecords: batcher.size,
      residual: account.residual(inFlight.countOpen()),
      devices: states.size,
      pool: database.stats(),
    });
    try {
      showBacklog(metrics, labels, await sampleBacklog(await connection.ready(), stream, now()));
      metrics.redisConnected.set({ role: 'writer' }, 1);
    } catch (error) {
      metrics.scrapeErrors.inc();
      metrics.redisConnected.set({ role: 'writer' }, 0);
      log.debug({ err: error }, 'the stream could not be sampled');
    }
  };
  return { http, database, consumer, connection, account, inFlight, pipeline, sample };
}

/** Migrates, then makes sure of stream and group; each as often as it takes. */
async function startUp(
  config: Config,
  { consumer, connection }: Rooms,
  health: Health,
  log: Logger,
  signal: AbortSignal,
): Promise<Storage> {
  const { database: db, stream } = config;
  const options = (part: 'database' | 'redis') => ({
    ...retry,
    signal,
    onFailure: (error: { kind: string; code: string }) =>
      health.set(part, `${error.kind}: ${error.code}`),
  });
  const migrations = await readMigrations(new URL('../migrations/', import.meta.url));
  const migrating = () =>
    migrate(migrations, { ...db, url: db.migrationUrl, mode: db.migrations }, log);
  const { applied, version, storage } = await keepTrying(
    'migrate',
    migrating,
    options('database'),
    log,
  );
  health.set('database', 'ok');
  log.info({ applied, version }, 'schema is up to date');
  await keepTrying('prepare the consumer group', consumer.prepare, options('redis'), log);
  const backlog = await keepTrying(
    'look at the stream',
    async () => sampleBacklog(await connection.ready(), stream, Date.now()),
    options('redis'),
    log,
  );
  health.set('redis', 'ok');
  if (backlog.neverWritten) {
    log.warn(
      { stream: stream.key },
      'nothing was ever written to this stream: does the ingestion service use the same name?',
    );
  }
  return storage;
}

function announce(config: Config, build: Build, storage: Storage, log: Logger): void {
  if (storage.kind === 'plain table') {
    log.warn(
      {},
      'positions is a plain table (TIMESCALEDB=optional): no chunks, no columnstore, no retention',
    );
  }
  log.info(
    {
      ...build,
      node: process.versions.node,
      stream: config.stream.key,
      group: config.stream.group,
      consumer: config.stream.consumer,
      dead_letter_stream: config.stream.deadLetterKey,
      redis: redactUrl(config.redis.url),
      database: redactUrl(config.database.url),
      storage,
    },
    'reading begins',
  );
}
