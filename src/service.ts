import { setTimeout } from 'node:timers/promises';
import { type Config, describeConfig } from './config/load.ts';
import type { Logger, Service } from './core/types.ts';
import { createHealth, type Health } from './lifecycle/health.ts';
import { createPanicHandler } from './lifecycle/panic.ts';
import type { PanicState } from './lifecycle/panic-dump.ts';
import { releasable, stopInReverse } from './lifecycle/sequence.ts';
import { createWatchdog } from './lifecycle/watchdog.ts';
import { createMaintenance } from './maintenance.ts';
import { describeError } from './observability/log-error.ts';
import { createMetrics, type Metrics } from './observability/metrics.ts';
import { createTracing } from './observability/tracing.ts';
import { buildDomain, type DomainPart } from './service/domain.ts';
import { buildParts, type Parts } from './service/parts.ts';
import { type Build, prepare } from './service/preparation.ts';
import { createPrimaryWatch } from './service/primary-watch.ts';

export type { Build } from './service/preparation.ts';

/** Longest wait for a pool whose connections are busy. */
const poolGraceMs = 1000;
/** Longest wait for the loops of a pipeline that was not drained. */
const loopGraceMs = 2000;

/** The whole service. `stop` releases everything, also after a start that failed half way. */
export interface ProcessorService extends Service {
  /** Resolves when a backlog made no progress for STALL_LIMIT_MS; never rejects. */
  stalled(): Promise<void>;
  /**
   * Stops reading; writes and acknowledges the entries in flight within DRAIN_BUDGET_MS.
   * @returns false when the budget was exceeded: the remaining entries stay pending in the group
   */
  drain(): Promise<boolean>;
  /** For the dump of a panic. */
  describeState(): PanicState;
}

/** Builds the service from its configuration; starts nothing. */
export function createService(config: Config, build: Build, log: Logger): ProcessorService {
  const stopping = new AbortController();
  const { order, parts, domain, metrics, health, stalled, state } = assemble(
    config,
    build,
    log,
    stopping.signal,
  );
  let starting: Promise<void> | null = null;
  let ending: Promise<void> | null = null;

  async function startParts(): Promise<void> {
    for (const part of order) {
      stopping.signal.throwIfAborted();
      await part.start();
    }
    health.set('startup', 'ok');
  }

  async function stopParts(): Promise<void> {
    showStopping(health, metrics);
    stopping.abort();
    // `start` reports its own failure.
    await starting?.catch(() => undefined);
    await stopInReverse(order, log);
  }

  const stop = () => {
    ending ??= stopParts();
    return ending;
  };
  return {
    name: 'processor',
    async start() {
      starting ??= startParts();
      try {
        await starting;
      } catch (error) {
        await stop();
        throw error;
      }
    },
    stalled: () => stalled,
    drain() {
      showStopping(health, metrics);
      domain?.quiesce();
      return drain(config, parts, log);
    },
    stop,
    describeState: state,
  };
}

/**
 * Builds the parts and their order: they start in this order and stop in reverse, so that a part
 * stops before the parts that it uses.
 * @param signal ends the retries of the preparation
 */
export function assemble(config: Config, build: Build, log: Logger, signal: AbortSignal) {
  const metrics = createMetrics(build, config.shards?.read ?? null);
  const health = createHealth(['startup', 'redis', 'database', 'consumption', 'dead_letters']);
  const { instance } = config.service;
  const tracing = createTracing({ ...config.tracing, instance, version: build.version });
  const domain: DomainPart | null = buildDomain({
    config,
    metrics,
    log,
    isIngestionFailing: () => parts.databaseGuard.isFailing,
  });
  const writing = domain?.observe(tracing.events.writing) ?? tracing.events.writing;
  const extraEvents = { ...tracing.events, writing };
  const parts = buildParts({ config, metrics, health, log, extraEvents });
  const stalled = Promise.withResolvers<void>();
  const onStalled = () => {
    log.error(
      parts.account.totals(),
      'backlog made no progress; exiting so that the supervisor restarts the process',
    );
    stalled.resolve();
  };
  const state = () => describeState(config, parts, health);
  const maintenance = createMaintenance({ config, parts, metrics, health, log, onStalled });
  const { stallLimitMs, panicDir: dir } = config.lifecycle;
  const panic = createPanicHandler({ dir, instance, build, state, describeError, log });
  const onBug = (error: unknown) => panic.panic('pipeline', error);
  const { readSwitches } = maintenance;
  const order: readonly Service[] = [
    tracing,
    panic,
    createWatchdog({ stallLimitMs, ...config.service }),
    announcedHttp(config, build, parts, log),
    releasable('database', () => parts.database.close(poolGraceMs)),
    releasable('redis connection', () => closeAll(parts.streams.map((one) => one.connection))),
    releasable('consumer', () => closeAll(parts.streams.map((one) => one.consumer))),
    createPrimaryWatch(parts.primaries, log),
    preparation({ config, build, parts, health, log, signal, readSwitches, onBug }),
    ...(domain === null ? [] : [domain]),
    maintenance,
    runningPipeline(parts, onBug),
  ];
  return { order, parts, domain, metrics, health, stalled: stalled.promise, state };
}

function preparation(options: Parameters<typeof prepare>[0]): Service {
  return {
    name: 'preparation',
    start: () => prepare(options),
    stop: () => Promise.resolve(),
  };
}

function closeAll(connections: readonly { close(): void }[]): void {
  for (const connection of connections) connection.close();
}

function showStopping(health: Health, metrics: Metrics): void {
  health.set('startup', 'stopping');
  metrics.shutdownInProgress.set(1);
}

/** The endpoint; it logs its address, because HTTP_PORT=0 takes any free port. */
function announcedHttp(config: Config, build: Build, { http }: Parts, log: Logger): Service {
  return {
    name: http.name,
    async start() {
      await http.start();
      log.info({ ...http.address(), ...build }, 'probes and metrics are served');
      log.debug({ config: describeConfig(config) }, 'effective configuration');
    },
    stop: http.stop,
  };
}

/** The pipeline; an error that ends one of its loops is a bug. */
function runningPipeline({ pipeline, streams }: Parts, onBug: (error: unknown) => void): Service {
  let watched = false;
  return {
    name: 'pipeline',
    start() {
      pipeline.start();
      if (!watched) pipeline.finished().catch(onBug);
      watched = true;
      return Promise.resolve();
    },
    async stop() {
      await pipeline.drain(0);
      // Ends a blocking read. A loop that still runs would reopen connections that are closed next.
      closeAll(streams.map((one) => one.consumer));
      await Promise.race([
        pipeline.finished().catch(() => undefined),
        setTimeout(loopGraceMs, undefined, { ref: false }),
      ]);
    },
  };
}

function describeState(
  config: Config,
  { account, streams, states, errors }: Parts,
  health: Health,
): PanicState {
  const entries = streams.flatMap(({ stream: { shard }, inFlight }) =>
    inFlight.list().map(({ entry, records, open, rejections }) => ({
      ...(shard !== null && { shard }),
      id: entry.id,
      deliveries: entry.deliveries,
      records,
      open,
      rejected: rejections.length,
      fields: () => entry.fields.parts(),
    })),
  );
  const open = streams.reduce((sum, { inFlight }) => sum + inFlight.countOpen(), 0);
  const summary = {
    account: account.totals(),
    residual: account.residual(open),
    devices: states.size,
    health: health.ready().checks,
    recent_errors: errors.list(),
    config: describeConfig(config),
  };
  return { entries, summary };
}

async function drain(
  config: Config,
  { pipeline, streams, account }: Parts,
  log: Logger,
): Promise<boolean> {
  if (await pipeline.drain(config.lifecycle.drainBudgetMs)) {
    log.info({ ...account.totals() }, 'stopped; nothing left in flight');
    return true;
  }
  const left = streams.flatMap(({ stream: { shard }, inFlight }) =>
    inFlight.ids().map((id) => (shard === null ? id : `${shard}:${id}`)),
  );
  log.error(
    { entries: left.length, entry_ids: left.slice(0, 20) },
    'drain budget spent; the rest stays pending',
  );
  return false;
}
