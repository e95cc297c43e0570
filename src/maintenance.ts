import type { Config } from './config/load.ts';
import type { DeviceId, Logger, Service } from './core/types.ts';
import { countChunks } from './db/chunk-budget.ts';
import type { Health } from './lifecycle/health.ts';
import { repeat } from './lifecycle/repeat.ts';
import type { Metrics } from './observability/metrics.ts';
import { showDeadLetters } from './observability/sampling.ts';
import type { Parts } from './service/parts.ts';
import { samplingJob } from './service/sampling-job.ts';
import {
  claimsJob,
  deadLettersJob,
  lossRecording,
  type MaintainedStream,
  type ShowDeadLetters,
  switchesJob,
} from './service/stream-jobs.ts';
import type { DeadLetterTotals } from './stream/dead-letter-totals.ts';
import { forgetDeviceId } from './teltonika/device-ids.ts';

const everyMs = 1000;
const chunksEveryMs = 60_000;
/** Renewals of a claim within CLAIM_THRESHOLD_MS. */
const renewalsPerThreshold = 4;

/** The parts that the jobs read and control. */
export type MaintainedParts = Pick<
  Parts,
  | 'account'
  | 'batcher'
  | 'states'
  | 'writer'
  | 'database'
  | 'databaseGuard'
  | 'pipeline'
  | 'streams'
>;

export interface MaintenanceOptions {
  readonly config: Pick<Config, 'streams' | 'shards' | 'lifecycle'>;
  readonly parts: MaintainedParts;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly log: Logger;
  /** Called once, when a backlog made no progress for STALL_LIMIT_MS. */
  readonly onStalled: () => void;
}

export interface Maintenance extends Service {
  /** Reads the operator switches of one stream. */
  readSwitches(stream: Parts['streams'][number]): Promise<void>;
}

/**
 * The periodic jobs beside the pipeline: samples, operator switches, claim renewal. `start` reads the
 * switches once before it resolves, so that an instance started during a pause reads no entry.
 */
export function createMaintenance(options: MaintenanceOptions): Maintenance {
  const jobs = createJobs(options);
  const { streams } = options.parts;
  let running: readonly (() => Promise<void>)[] | null = null;
  let starting: Promise<void> | null = null;

  async function begin(): Promise<void> {
    options.health.set('consumption', 'ok');
    // The switches of a shard that is not prepared yet are read before it is opened.
    const open = streams.map(({ gate }) => gate.isOpen);
    await Promise.all(jobs.streams.filter((_, index) => open[index]).map((one) => one.switches()));
    const claimsEveryMs = options.config.streams[0].claimThresholdMs / renewalsPerThreshold;
    running = [
      repeat(jobs.samples, everyMs),
      repeat(jobs.chunks, chunksEveryMs),
      // Each stream has loops of its own: one whose node hangs must not delay the others.
      ...jobs.streams.flatMap(({ switches, deadLetters, claims }) => [
        repeat(switches, everyMs),
        repeat(deadLetters, everyMs),
        repeat(claims, claimsEveryMs),
      ]),
    ];
  }

  return {
    name: 'maintenance',
    start() {
      starting ??= begin();
      return starting;
    },
    async readSwitches(stream) {
      await jobs.streams[streams.indexOf(stream)]?.switches();
    },
    async stop() {
      await starting;
      starting = null;
      const ends = running ?? [];
      running = null;
      await Promise.all(ends.map((end) => end()));
      // What was lost since the last sample would go with this process.
      if (ends.length > 0) await Promise.all(jobs.streams.map((one) => one.losses()));
    },
  };
}

/** One run of each job, and those of each stream; a job never rejects. */
export function createJobs(options: MaintenanceOptions) {
  const streams = withSides(options.parts);
  return {
    samples: samplingJob({ ...options, streams }),
    chunks: chunksJob(options),
    streams: streamJobs(options, streams),
  };
}

function streamJobs(options: MaintenanceOptions, streams: readonly MaintainedStream[]) {
  const { parts, metrics } = options;
  const showTotals = deadLetterTotals(options);
  const forget = (device: DeviceId) => {
    parts.states.forget(device);
    parts.writer.forget(device);
    forgetDeviceId(device);
  };
  return streams.map((stream, index) => ({
    switches: switchesJob(stream, metrics, forget),
    deadLetters: deadLettersJob(stream, metrics, showTotals(index)),
    claims: claimsJob(stream, metrics),
    losses: lossRecording(stream),
  }));
}

/** The streams with their reading sides, which are in the same order. */
function withSides({ pipeline, streams }: MaintainedParts): readonly MaintainedStream[] {
  const sides = pipeline.readings;
  return streams.flatMap((stream, index) => {
    const side = sides[index];
    return side === undefined ? [] : [{ ...stream, side }];
  });
}

/** Exports the sum of all dead-letter streams. */
function deadLetterTotals({
  config,
  parts,
  metrics,
}: MaintenanceOptions): (index: number) => ShowDeadLetters {
  const label =
    config.shards === null ? config.streams[0].deadLetterKey : `${config.shards.name}:dlq`;
  const bytes = new Array<number | null>(parts.streams.length).fill(null);
  const dropped = new Array<number>(parts.streams.length).fill(0);
  return (index) => (totals: DeadLetterTotals | null) => {
    bytes[index] = totals?.bytes ?? null;
    if (totals === null) {
      metrics.deadLetterBytes.remove({ stream: label });
      return;
    }
    // The last known number of a shard that is away stays in the sum, which must not go down.
    dropped[index] = totals.droppedEntries;
    const known = bytes.filter((one) => one !== null);
    showDeadLetters(metrics, label, {
      bytes: known.length < bytes.length ? null : known.reduce((sum, one) => sum + one, 0),
      droppedEntries: dropped.reduce((sum, one) => sum + one, 0),
    });
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
