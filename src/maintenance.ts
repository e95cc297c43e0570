import type { Config } from './config/load.ts';
import type { EntryId, IdFault, Logger, Service } from './core/types.ts';
import { countChunks } from './db/chunk-budget.ts';
import type { Health } from './lifecycle/health.ts';
import { createProgressWatch } from './lifecycle/progress-watch.ts';
import { repeat } from './lifecycle/repeat.ts';
import type { Metrics } from './observability/metrics.ts';
import {
  forgetBacklog,
  showBacklog,
  showDeadLetters,
  showInstance,
} from './observability/sampling.ts';
import type { Parts } from './service/parts.ts';
import { type Backlog, sampleBacklog } from './stream/backlog.ts';
import type { Pause } from './stream/control.ts';
import { type DeadLetterTotals, watchDeadLetters } from './stream/dead-letter-totals.ts';
import { forgetDeviceId } from './teltonika/device-ids.ts';
import { isDeviceId } from './teltonika/imei.ts';

const everyMs = 1000;
const chunksEveryMs = 60_000;
/** Renewals of a claim within CLAIM_THRESHOLD_MS. */
const renewalsPerThreshold = 4;

/** The parts that the jobs read and control. */
export type MaintainedParts = Pick<
  Parts,
  | 'account'
  | 'inFlight'
  | 'batcher'
  | 'states'
  | 'writer'
  | 'database'
  | 'guards'
  | 'connection'
  | 'pipeline'
  | 'control'
  | 'renewClaims'
  | 'losses'
>;

export interface MaintenanceOptions {
  readonly config: Pick<Config, 'stream' | 'lifecycle'>;
  readonly parts: MaintainedParts;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly log: Logger;
  /** Called once, when a backlog made no progress for STALL_LIMIT_MS. */
  readonly onStalled: () => void;
}

/**
 * The periodic jobs beside the pipeline: samples, operator switches, claim renewal. `start` reads the
 * switches once before it resolves, so that an instance started during a pause reads no entry.
 */
export function createMaintenance(options: MaintenanceOptions): Service {
  const jobs = createJobs(options);
  let running: readonly (() => Promise<void>)[] | null = null;
  let starting: Promise<void> | null = null;

  async function begin(): Promise<void> {
    options.health.set('consumption', 'ok');
    await jobs.switches();
    const claimsEveryMs = options.config.stream.claimThresholdMs / renewalsPerThreshold;
    running = [
      repeat(jobs.samples, everyMs),
      repeat(jobs.switches, everyMs),
      repeat(jobs.deadLetters, everyMs),
      repeat(jobs.chunks, chunksEveryMs),
      repeat(jobs.claims, claimsEveryMs),
    ];
  }

  return {
    name: 'maintenance',
    start() {
      starting ??= begin();
      return starting;
    },
    async stop() {
      await starting;
      starting = null;
      const ends = running ?? [];
      running = null;
      await Promise.all(ends.map((end) => end()));
      // What was lost since the last sample would go with this process.
      if (ends.length > 0) await jobs.losses();
    },
  };
}

/** One run of each job; a job never rejects. */
export function createJobs(options: MaintenanceOptions) {
  return {
    samples: samplingJob(options),
    switches: switchesJob(options),
    deadLetters: deadLettersJob(options),
    chunks: chunksJob(options),
    claims: claimsJob(options),
    losses: lossRecording(options.parts, options.log),
  };
}

/** Samples the instance and the stream, and detects a backlog without progress. */
function samplingJob({ config, parts, metrics, health, log, onStalled }: MaintenanceOptions) {
  const { account, inFlight, batcher, states, database, guards, connection, pipeline } = parts;
  const recordLosses = lossRecording(parts, log);
  const { stream, lifecycle } = config;
  const labels = { stream: stream.key, group: stream.group };
  const watch = createProgressWatch({ stallLimitMs: lifecycle.stallLimitMs, now: Date.now });
  let isStalled = false;
  let knownFault: IdFault | null = null;

  function reportIds(fault: IdFault | null): void {
    if (fault !== knownFault && fault !== null) {
      const fields = { stream: stream.key, reason: fault };
      log.warn(fields, 'entry ids are not timestamps; ages and latencies from them are unknown');
    }
    knownFault = fault;
  }

  async function sampleStream(): Promise<Backlog | null> {
    try {
      const backlog = await sampleBacklog(await connection.ready(), stream, Date.now());
      showBacklog(metrics, labels, backlog);
      reportIds(backlog.idFault);
      metrics.redisConnected.set({ role: 'writer' }, 1);
      return backlog;
    } catch (error) {
      metrics.scrapeErrors.inc();
      metrics.redisConnected.set({ role: 'writer' }, 0);
      forgetBacklog(metrics, labels);
      log.debug({ err: error }, 'stream could not be sampled');
      return null;
    }
  }

  return async () => {
    metrics.ready.set(health.ready().ok ? 1 : 0);
    showInstance(metrics, {
      inFlightRecords: inFlight.records,
      bufferedRecords: batcher.size,
      residual: account.residual(inFlight.countOpen()),
      deadLettersWaiting: pipeline.isDeadLetteringBlocked ? pipeline.deadLettersWaiting : 0,
      devices: states.size,
      retryBudgets: {
        redis: guards.redis.budgetRemaining,
        database: guards.database.budgetRemaining,
      },
      pool: database.stats(),
    });
    const backlog = await sampleStream();
    await recordLosses();
    const { read, settled } = account.totals();
    const verdict = watch.observe({
      progress: Object.values(settled).reduce((sum, count) => sum + count, read),
      backlog: inFlight.entries + (backlog?.lag ?? 0),
      // The cause is known then, and a restarted process would be blocked as well.
      excused:
        pipeline.isFailing ||
        pipeline.isDeadLetteringBlocked ||
        pipeline.isPaused ||
        backlog === null,
    });
    if (verdict === 'stalled' && !isStalled) {
      isStalled = true;
      onStalled();
    }
  };
}

/** Writes losses to Redis, where they outlive this process; a failed write is retried. */
function lossRecording({ losses }: MaintainedParts, log: Logger): () => Promise<void> {
  let hasFailed = false;
  return async () => {
    try {
      await losses.flush();
      hasFailed = false;
    } catch (error) {
      if (!hasFailed) log.warn({ err: error }, 'losses could not be recorded in Redis; retrying');
      hasFailed = true;
    }
  };
}

/** Trims the dead-letter stream to its limits and reports the dropped dead letters. */
function deadLettersJob({ config, parts, metrics, log }: MaintenanceOptions) {
  const { stream } = config;
  let before: DeadLetterTotals | null = null;
  return async () => {
    try {
      const totals = await watchDeadLetters(await parts.connection.ready(), stream);
      showDeadLetters(metrics, stream.deadLetterKey, totals);
      const dropped = totals.droppedEntries - (before?.droppedEntries ?? totals.droppedEntries);
      before = totals;
      if (dropped > 0) {
        log.error(
          { dropped, dropped_total: totals.droppedEntries },
          'dead letters dropped: their stream is full',
        );
      }
    } catch (error) {
      metrics.scrapeErrors.inc();
      metrics.deadLetterBytes.remove({ stream: stream.deadLetterKey });
      log.debug({ err: error }, 'dead-letter stream could not be sampled');
    }
  };
}

/** Samples the number of chunks: one index scan of the catalog a minute. */
function chunksJob({ parts, metrics, log }: MaintenanceOptions) {
  return async () => {
    try {
      metrics.chunks.set(await parts.database.use(countChunks));
    } catch (error) {
      metrics.chunks.remove();
      log.debug({ err: error }, 'chunks could not be counted');
    }
  };
}

/** Carries out operator requests, and detects another process with the same consumer name. */
function switchesJob({ config, parts, metrics, health, log }: MaintenanceOptions) {
  const { control, pipeline, states, writer } = parts;
  const { consumer } = config.stream;
  let isShared = false;
  let effective: Pause | null = null;

  function apply(pause: Pause | null): void {
    if ((pause === null) === (effective === null)) return;
    const { by, reason } = pause ?? effective ?? { by: 'unknown', reason: '' };
    effective = pause;
    pipeline.setPaused(pause !== null);
    metrics.consumptionPaused.set(pause === null ? 0 : 1);
    health.set('consumption', pause === null ? 'ok' : 'paused by an operator');
    if (pause === null) log.warn({ paused_by: by, reason }, 'consumption resumed');
    else log.warn({ paused_by: by, reason }, 'consumption paused');
  }

  function reportShared(found: boolean): void {
    metrics.nameShared.set(found ? 1 : 0);
    if (found && !isShared) {
      log.error({ consumer }, 'another live process has the same CONSUMER_NAME; give each its own');
    }
    isShared = found;
  }

  return async () => {
    try {
      apply(await control.readPause());
      reportShared(await control.holdName(consumer));
      for (const { device } of await control.readRequests()) {
        if (!isDeviceId(device)) continue;
        states.forget(device);
        writer.forget(device);
        forgetDeviceId(device);
        metrics.controlRequests.inc();
        log.info({}, 'state of a device dropped on request; its next record looks it up');
      }
    } catch (error) {
      // The switches keep their state; the guards report the outage.
      log.debug({ err: error }, 'operator switches could not be read');
    }
  };
}

/** Renews the claim on entries that were in flight at the previous run as well. */
function claimsJob({ parts, metrics, log }: MaintenanceOptions) {
  const { inFlight, renewClaims } = parts;
  let before: ReadonlySet<EntryId> = new Set();
  return async () => {
    const held = inFlight.ids();
    const long = held.filter((id) => before.has(id));
    before = new Set(held);
    if (long.length === 0) return;
    try {
      metrics.claimsKept.inc(await renewClaims(long));
    } catch (error) {
      log.debug({ err: error }, 'claims could not be renewed');
    }
  };
}
