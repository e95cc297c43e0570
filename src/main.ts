import { processHost } from './config/host.ts';
import {
  type Config,
  describeConfig,
  formatProblems,
  loadConfig,
  redactUrl,
} from './config/load.ts';
import type { Logger } from './core/types.ts';
import { MigrationError } from './db/migration-error.ts';
import { migrate, readMigrations } from './db/migrator.ts';
import type { Storage } from './db/storage.ts';
import { createHealth, type Health } from './lifecycle/health.ts';
import { installPanic } from './lifecycle/panic.ts';
import type { PanicState } from './lifecycle/panic-dump.ts';
import { exitCodes, stopSignal } from './lifecycle/signals.ts';
import { keepTrying } from './lifecycle/start-up.ts';
import { createWatchdog } from './lifecycle/watchdog.ts';
import { captureLibraryOutput } from './observability/library-output.ts';
import { createLogger, describeError } from './observability/logger.ts';
import { createMetrics } from './observability/metrics.ts';
import { scrub } from './observability/scrub.ts';
import { startTracing } from './observability/tracing.ts';
import { sampleBacklog } from './stream/backlog.ts';
import { startUpkeep } from './upkeep.ts';
import { type Rooms, retry, wireRooms } from './wiring.ts';

/** What a pool that will not close is waited for. */
const poolGraceMs = 1000;

/** `processor run`: the service from the environment to the exit code. */
export async function run(env: NodeJS.ProcessEnv, build: Build): Promise<number> {
  const loaded = loadConfig(env, processHost());
  if (!loaded.ok) {
    process.stderr.write(`${formatProblems(loaded.problems)}\n`);
    return exitCodes.failed;
  }
  const { config } = loaded;
  const log = createLogger({ ...config.service, level: config.log.level });
  captureLibraryOutput(log);
  const stopping = new AbortController();
  const signal = stopSignal(log).then((name) => {
    log.info({ signal: name }, 'stopping');
    stopping.abort();
  });
  try {
    return await serve(config, build, log, stopping.signal, signal);
  } catch (error) {
    if (stopping.signal.aborted) return exitCodes.ok;
    // For a person, before the log line with its stacks.
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(`processor: ${scrub(reason)}\n`);
    const code = error instanceof MigrationError ? error.code : 'unexpected';
    log.error({ code, err: error }, 'the service cannot go on');
    return exitCodes.failed;
  }
}

export interface Build {
  readonly version: string;
  readonly revision: string;
}

/** Starts the rooms in order, waits for the stop, drains; what was acquired is released in reverse. */
async function serve(
  config: Config,
  build: Build,
  log: Logger,
  stopping: AbortSignal,
  stopped: Promise<void>,
): Promise<number> {
  const metrics = createMetrics(build);
  const health = createHealth(['startup', 'redis', 'database', 'consumption', 'dead_letters']);
  await using releases = new AsyncDisposableStack();
  const tracing = await openTracing(config, build);
  releases.defer(() => tracing?.stop());
  const rooms = wireRooms(config, metrics, health, log, tracing);
  const { http, database, consumer, connection, pipeline } = rooms;

  const { panic, uninstall } = installPanic({
    dir: config.lifecycle.panicDir,
    instance: config.service.instance,
    build,
    state: () => describeState(config, rooms, health),
    describeError,
    log,
  });
  releases.defer(uninstall);
  const watchdog = createWatchdog({
    stallLimitMs: config.lifecycle.stallLimitMs,
    ...config.service,
  });
  releases.defer(() => watchdog.stop());
  await watchdog.start();

  releases.defer(() => http.stop());
  await http.start();
  log.info({ ...http.address(), ...build }, 'probes and metrics are served');
  log.debug({ config: describeConfig(config) }, 'effective configuration');

  releases.defer(() => database.close(poolGraceMs));
  releases.defer(() => connection.close());
  releases.defer(() => consumer.close());
  const storage = await startUp(config, rooms, health, log, stopping);
  announce(config, build, storage, log);

  const stalled = Promise.withResolvers<'stalled'>();
  const onStalled = () => stalled.resolve('stalled');
  releases.defer(await startUpkeep({ config, rooms, metrics, health, log, onStalled }));
  pipeline.start();
  health.set('startup', 'ok');
  const cause = await Promise.race([
    stopped.then(() => 'signal' as const),
    pipeline.finished().catch((error: unknown) => panic('pipeline', error)),
    stalled.promise,
  ]);

  health.set('startup', 'stopping');
  metrics.shutdownInProgress.set(1);
  if (cause === 'stalled') {
    log.error(
      { ...rooms.account.totals() },
      'a backlog made no progress; ending to be started anew',
    );
    return exitCodes.stalled;
  }
  return await drain(config, rooms, log);
}

/** Off unless TRACING_ENDPOINT is set; its packages are loaded only then. */
async function openTracing({ tracing, service }: Config, { version }: Build) {
  const { endpoint, sampleRatio } = tracing;
  if (endpoint === null) return null;
  return await startTracing({ endpoint, sampleRatio, instance: service.instance, version });
}

/** For the dump of a panic. */
function describeState(
  config: Config,
  { account, inFlight, states, errors }: Rooms,
  health: Health,
): PanicState {
  const entries = inFlight.list().map(({ entry, records, open, rejections }) => ({
    ...{ id: entry.id, deliveries: entry.deliveries, records, open },
    rejected: rejections.length,
    fields: () => entry.fields.parts(),
  }));
  const summary = {
    account: account.totals(),
    residual: account.residual(inFlight.countOpen()),
    devices: states.size,
    health: health.ready().checks,
    recent_errors: errors.list(),
    config: describeConfig(config),
  };
  return { entries, summary };
}

/** Writes and acknowledges what is held, within the budget. @returns the exit code */
async function drain(
  config: Config,
  { pipeline, inFlight, account }: Rooms,
  log: Logger,
): Promise<number> {
  if (await pipeline.drain(config.lifecycle.drainBudgetMs)) {
    log.info({ ...account.totals() }, 'stopped; nothing left in flight');
    return exitCodes.ok;
  }
  const left = inFlight.ids();
  log.error(
    { entries: left.length, entry_ids: left.slice(0, 20) },
    'drain budget spent; the rest stays pending',
  );
  return exitCodes.drainOverrun;
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
      'positions is a plain table (TIMESCALEDB=optional): no chunks, no columnstore; retention by processor retention',
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
