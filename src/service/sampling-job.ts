import { setTimeout } from 'node:timers/promises';
import type { Config } from '../config/load.ts';
import type { IdFault } from '../core/types.ts';
import type { Health } from '../lifecycle/health.ts';
import { createProgressWatch } from '../lifecycle/progress-watch.ts';
import { sumBacklogs } from '../observability/backlog-sum.ts';
import type { Metrics } from '../observability/metrics.ts';
import { forgetBacklog, showBacklog, showInstance, showShard } from '../observability/sampling.ts';
import { type Backlog, sampleBacklog } from '../stream/backlog.ts';
import type { Parts } from './parts.ts';
import { lossRecording, type MaintainedStream } from './stream-jobs.ts';

/** Longest wait for the sample of one shard; the others must not wait for a node that hangs. */
const sampleLimitMs = 1000;

export interface SamplingOptions {
  readonly config: Pick<Config, 'streams' | 'shards' | 'lifecycle'>;
  readonly parts: Pick<Parts, 'account' | 'batcher' | 'states' | 'database' | 'databaseGuard'>;
  readonly streams: readonly MaintainedStream[];
  readonly metrics: Metrics;
  readonly health: Health;
  /** Called once, when a backlog made no progress for STALL_LIMIT_MS. */
  readonly onStalled: () => void;
}

/** Samples the instance and its streams, and detects a backlog without progress. */
export function samplingJob(options: SamplingOptions): () => Promise<void> {
  const { config, streams, metrics, health, onStalled } = options;
  const labels = {
    stream: config.shards?.name ?? config.streams[0].key,
    group: config.streams[0].group,
  };
  const samplers = streams.map((stream) => streamSampling(stream, options));
  let isStalled = false;
  return async () => {
    metrics.ready.set(health.ready().ok ? 1 : 0);
    sampleInstance(options);
    const samples = await Promise.all(samplers.map((sampler) => sampler.sample()));
    const sum = sumBacklogs(samples.map(({ backlog }) => backlog));
    if (sum === null) forgetBacklog(metrics, labels);
    else showBacklog(metrics, labels, sum);
    if (samples.some((sample) => sample.isStalled) && !isStalled) {
      isStalled = true;
      onStalled();
    }
  };
}

/** Exports the instance's own state, the sum or the worst of its streams. */
function sampleInstance({ parts, streams, metrics }: SamplingOptions): void {
  const { account, batcher, states, database, databaseGuard } = parts;
  const sum = (of: (stream: MaintainedStream) => number) =>
    streams.reduce((total, stream) => total + of(stream), 0);
  showInstance(metrics, {
    inFlightRecords: sum(({ inFlight }) => inFlight.records),
    bufferedRecords: batcher.size,
    residual: account.residual(sum(({ inFlight }) => inFlight.countOpen())),
    deadLettersWaiting: sum(({ side }) =>
      side.isDeadLetteringBlocked ? side.deadLettersWaiting : 0,
    ),
    devices: states.size,
    retryBudgets: {
      redis: Math.min(...streams.map(({ guard }) => guard.budgetRemaining)),
      database: databaseGuard.budgetRemaining,
    },
    pool: database.stats(),
  });
}

interface StreamSample {
  readonly backlog: Backlog | null;
  readonly isStalled: boolean;
}

/** Samples one stream and watches its progress, and records its losses. */
function streamSampling(stream: MaintainedStream, { config, parts, metrics }: SamplingOptions) {
  const { stream: names, inFlight, side, state, gate, guard, connection, log } = stream;
  const recordLosses = lossRecording(stream);
  const { stallLimitMs } = config.lifecycle;
  const watch = createProgressWatch({ stallLimitMs, now: Date.now });
  let knownFault: IdFault | null = null;
  let running: Promise<Backlog | null> | null = null;

  function reportIds(fault: IdFault | null): void {
    if (fault !== knownFault && fault !== null) {
      const fields = { stream: names.key, reason: fault };
      log.warn(fields, 'entry ids are not timestamps; ages and latencies from them are unknown');
    }
    knownFault = fault;
  }

  async function ask(): Promise<Backlog | null> {
    try {
      const backlog = await sampleBacklog(await connection.ready(), names, Date.now());
      reportIds(backlog.idFault);
      state.connected('writer', true);
      return backlog;
    } catch (error) {
      metrics.scrapeErrors.inc();
      state.connected('writer', false);
      log.debug({ err: error }, 'stream could not be sampled');
      return null;
    } finally {
      running = null;
    }
  }

  /** Null also while the last sample of a shard takes too long. */
  async function sampleInTime(): Promise<Backlog | null> {
    if (names.shard === null) return await ask();
    if (running !== null) return null;
    running = ask();
    return await Promise.race([running, setTimeout(sampleLimitMs, null, { ref: false })]);
  }

  function watchProgress(backlog: Backlog | null): boolean {
    const open = inFlight.countOpen();
    const { lost } = parts.account.totals().settled;
    const verdict = watch.observe({
      // Records read and settled; those that were lost count for every stream.
      progress: 2 * (side.recordsRead + lost) - open,
      backlog: inFlight.entries + (backlog?.lag ?? 0),
      // The cause is known then, and a restarted process would be blocked as well.
      excused:
        side.isFailing ||
        side.isDeadLetteringBlocked ||
        side.isPaused ||
        side.isWaitingForIsolation ||
        !gate.isOpen ||
        backlog === null,
    });
    return verdict === 'stalled';
  }

  return {
    async sample(): Promise<StreamSample> {
      const backlog = await sampleInTime();
      if (metrics.shards !== null && names.shard !== null) {
        const isUp = gate.isOpen && !guard.isFailing && backlog !== null;
        showShard(metrics.shards, names.shard, { isUp, isPaused: side.isPaused, backlog });
      }
      await recordLosses();
      return { backlog, isStalled: watchProgress(backlog) };
    },
  };
}
