import type { Config } from './config/load.ts';
import type { EntryId, IdFault, Logger } from './core/types.ts';
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
import { type Backlog, sampleBacklog } from './stream/backlog.ts';
import type { Pause } from './stream/control.ts';
import { type DeadLetterTotals, watchDeadLetters } from './stream/dead-letter-totals.ts';
import { isDeviceId } from './teltonika/imei.ts';
import type { Rooms } from './wiring.ts';

const everyMs = 1000;
const chunksEveryMs = 60_000;
/** Claims on entries held for long are renewed this many times before they would run out. */
const renewals = 4;

interface Surroundings {
  readonly config: Config;
  readonly rooms: Rooms;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly log: Logger;
  /** Called once, when a backlog made no progress for STALL_LIMIT_MS. */
  readonly onStalled: () => void;
}

/**
 * What goes on beside the pipeline: samples, operators' switches, claims. The switches were read
 * once when it resolves: an instance that starts while consumption is paused reads nothing.
 * @returns ends all of it
 */
export async function startUpkeep(around: Surroundings): Promise<() => Promise<void>> {
  const control = controlling(around);
  await control();
  const ends = [
    repeat(sampling(around), everyMs),
    repeat(control, everyMs),
    repeat(watching(around), everyMs),
    repeat(countingChunks(around), chunksEveryMs),
    repeat(keeping(around), around.config.stream.claimThresholdMs / renewals),
  ];
  return async () => {
    await Promise.all(ends.map((end) => end()));
  };
}

/** Shows the instance and the stream, and watches that a backlog moves. */
function sampling({ config, rooms, metrics, health, log, onStalled }: Surroundings) {
  const { account, inFlight, batcher, states, database, guards, connection, pipeline } = rooms;
  const recordLosses = recordingLosses(rooms, log);
  const { stream, lifecycle } = config;
  const labels = { stream: stream.key, group: stream.group };
  const watch = createProgressWatch({ stallLimitMs: lifecycle.stallLimitMs, now: Date.now });
  let isStalled = false;
  let knownFault: IdFault | null = null;

  function reportIds(fault: IdFault | null): void {
    if (fault !== knownFault && fault !== null) {
      const fields = { stream: stream.key, reason: fault };
      log.warn(fields, 'entry ids are no clock; ages and latencies from them are not known');
    }
    knownFault = fault;
  }

  async function lookAtStream(): Promise<Backlog | null> {
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
      log.debug({ err: error }, 'the stream could not be sampled');
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
    const backlog = await lookAtStream();
    await recordLosses();
    const { read, settled } = account.totals();
    const verdict = watch.observe({
      progress: Object.values(settled).reduce((sum, count) => sum + count, read),
      backlog: inFlight.entries + (backlog?.lag ?? 0),
      // Why nothing moves is known then, and another process would stand still as well.
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

/** Writes losses to Redis, where they outlive this process; what fails is tried again. */
function recordingLosses({ losses }: Rooms, log: Logger): () => Promise<void> {
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

/** Keeps the dead-letter stream within its limits, and reports what they dropped. */
function watching({ config, rooms, metrics, log }: Surroundings) {
  const { stream } = config;
  let before: DeadLetterTotals | null = null;
  return async () => {
    try {
      const totals = await watchDeadLetters(await rooms.connection.ready(), stream);
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
      log.debug({ err: error }, 'the dead-letter stream could not be watched');
    }
  };
}

/** Samples the number of chunks: one index scan of the catalog a minute. */
function countingChunks({ rooms, metrics, log }: Surroundings) {
  return async () => {
    try {
      metrics.chunks.set(await rooms.database.use(countChunks));
    } catch (error) {
      metrics.chunks.remove();
      log.debug({ err: error }, 'the chunks could not be counted');
    }
  };
}

/** Carries out what operators asked for, and watches that no other process has our name. */
function controlling({ config, rooms, metrics, health, log }: Surroundings) {
  const { control, pipeline, states, writer } = rooms;
  const { consumer } = config.stream;
  let isShared = false;
  let inForce: Pause | null = null;
  health.set('consumption', 'ok');

  function apply(pause: Pause | null): void {
    if ((pause === null) === (inForce === null)) return;
    const { by, reason } = pause ?? inForce ?? { by: 'unknown', reason: '' };
    inForce = pause;
    pipeline.setPaused(pause !== null);
    metrics.consumptionPaused.set(pause === null ? 0 : 1);
    health.set('consumption', pause === null ? 'ok' : 'paused by an operator');
    if (pause === null) log.warn({ paused_by: by, reason }, 'consumption resumed');
    else log.warn({ paused_by: by, reason }, 'consumption paused');
  }

  function tellShared(found: boolean): void {
    metrics.nameShared.set(found ? 1 : 0);
    if (found && !isShared) {
      log.error({ consumer }, 'another live process has the same CONSUMER_NAME; give each its own');
    }
    isShared = found;
  }

  return async () => {
    try {
      apply(await control.readPause());
      tellShared(await control.holdName(consumer));
      for (const { device } of await control.readRequests()) {
        if (!isDeviceId(device)) continue;
        states.forget(device);
        writer.forget(device);
        metrics.controlRequests.inc();
        log.info({}, 'state of a device dropped on request; its next record looks it up');
      }
    } catch (error) {
      // The switches stay as they were; the guards tell of the outage.
      log.debug({ err: error }, 'the switches could not be read');
    }
  };
}

/** Renews the claim on what was held through a whole round already. */
function keeping({ rooms, metrics, log }: Surroundings) {
  const { inFlight, keep } = rooms;
  let before: ReadonlySet<EntryId> = new Set();
  return async () => {
    const held = inFlight.ids();
    const long = held.filter((id) => before.has(id));
    before = new Set(held);
    if (long.length === 0) return;
    try {
      metrics.claimsKept.inc(await keep(long));
    } catch (error) {
      log.debug({ err: error }, 'claims could not be renewed');
    }
  };
}
