import type { Config } from '../config/load.ts';
import { createAccount } from '../core/account.ts';
import { Batcher } from '../core/batcher.ts';
import { InFlightBudget } from '../core/in-flight-budget.ts';
import { Pipeline } from '../core/pipeline.ts';
import type { Logger } from '../core/types.ts';
import type { Health } from '../lifecycle/health.ts';
import { createRecentErrors } from '../lifecycle/recent-errors.ts';
import { createHttpEndpoint } from '../observability/http.ts';
import { createHttpEvents } from '../observability/http-events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createWritingEvents, limitRejections } from '../observability/pipeline-events.ts';
import { shardLog } from '../observability/shards.ts';
import { bothWriting, type ExtraEvents } from '../observability/tracing.ts';
import { createPrimaryFinder } from '../stream/primary-finder.ts';
import { placeText } from '../stream/topology.ts';
import { createInterpret, type Interpret } from '../teltonika/interpret.ts';
import { buildDatabase, buildDeviceStates, buildWriter } from './database-parts.ts';
import { buildDatabaseGuard } from './guard-parts.ts';
import { createShardCheck } from './shard-check.ts';
import { buildStream } from './stream-parts.ts';
import { createStreamStates } from './stream-states.ts';

/** Errors that the dump of a panic contains. */
const maxRecentErrors = 20;

/** What the parts share, and what a caller may add or replace. */
export interface PartsOptions {
  readonly config: Config;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly log: Logger;
  /** A second subscriber of the pipeline's events, such as tracing. */
  readonly extraEvents?: ExtraEvents;
  readonly interpret?: Interpret;
}

/** The parts of the service, connected to each other and not yet started. */
export type Parts = ReturnType<typeof buildParts>;

/** Builds every part and passes each the others that it needs; starts nothing. */
export function buildParts(options: PartsOptions) {
  const { config, metrics, health, log } = options;
  const { pipeline: limits } = config;
  const http = createHttpEndpoint({
    ...config.http,
    registry: metrics.registry,
    health,
    onEvicted: createHttpEvents(metrics, log).evicted,
  });
  const account = createAccount((outcome, records) => metrics.records.inc({ outcome }, records));
  const database = buildDatabase(config, metrics, log);
  const batcher = new Batcher({ rows: limits.batchRows, bytes: limits.batchBytes });
  const states = buildDeviceStates(config, metrics, database);
  const writer = buildWriter(config, database);
  metrics.bufferLimitRecords.set(limits.inFlightRecords);
  const errors = createRecentErrors(maxRecentErrors);
  const databaseGuard = buildDatabaseGuard({ config, metrics, log, errors }, health);
  const primaries = buildPrimaries(options);
  const streams = buildStreams(options, { account, errors, primaries });
  const pipeline = new Pipeline({
    account,
    batcher,
    states,
    databaseGuard,
    write: writer.write,
    events: buildWritingEvents(options),
    writers: limits.writers,
    readings: streams.map(({ reading }) => reading),
  });
  return {
    http,
    database,
    writer,
    account,
    batcher,
    states,
    databaseGuard,
    streams,
    primaries,
    pipeline,
    errors,
  };
}

function buildPrimaries({ config: { redis, streams }, metrics, log }: PartsOptions) {
  return createPrimaryFinder(redis, (from, to, key) => {
    const shard = streams.find((stream) => stream.key === key)?.shard ?? null;
    const fields = { from: placeText(from), to: placeText(to) };
    metrics.redisPrimaryChanges.inc();
    shardLog(log, shard).info(fields, 'redis primary changed');
  });
}

/** The parts of each stream that is read. */
function buildStreams(
  options: PartsOptions,
  shared: Pick<Parameters<typeof buildStream>[0], 'account' | 'errors' | 'primaries'>,
) {
  const { config, metrics, health, log, extraEvents } = options;
  const { streams, pipeline: limits } = config;
  const budget = new InFlightBudget(
    { records: limits.inFlightRecords, bytes: limits.inFlightBytes },
    streams.length,
  );
  const stateOf = createStreamStates(
    streams.map(({ shard }) => shard),
    metrics,
    health,
  );
  const surroundings = {
    ...shared,
    config,
    metrics,
    log,
    budget,
    extraEvents,
    mayLog: limitRejections(Date.now),
    interpretOf: interpreters(options),
  };
  return streams.map((stream, index) => buildStream(surroundings, stream, stateOf(index)));
}

/** The interpretation of each shard's entries, which also finds records of another shard. */
function interpreters(options: PartsOptions): (shard: number | null) => Interpret {
  const { config, metrics, log } = options;
  const interpret = options.interpret ?? buildInterpret(config, metrics);
  if (config.shards === null) return () => interpret;
  const check = createShardCheck(metrics, log, config.shards.count);
  return (shard) => (shard === null ? interpret : check(interpret, shard));
}

function buildInterpret({ validation }: Config, metrics: Metrics): Interpret {
  return createInterpret(validation, Date.now, {
    onLuhnFailure: () => metrics.luhnFailures.inc(),
    onMessage: (codec) => metrics.messages.inc({ codec }),
    onScanFallback: () => metrics.scanFallbacks.inc(),
  });
}

function buildWritingEvents({ metrics, log, extraEvents }: PartsOptions) {
  const own = createWritingEvents(metrics, log, { now: Date.now });
  return extraEvents === undefined ? own : bothWriting(own, extraEvents.writing);
}
