import type { Config, Stream } from '../config/load.ts';
import { InFlight } from '../core/in-flight.ts';
import type { InFlightBudget } from '../core/in-flight-budget.ts';
import { createPoisonIsolation } from '../core/poison-isolation.ts';
import type { ReadingParts } from '../core/reading.ts';
import type { Account, Logger, ReadingEvents } from '../core/types.ts';
import { createConsumerEvents } from '../observability/consumer-events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createReadingEvents } from '../observability/pipeline-events.ts';
import { shardLog } from '../observability/shards.ts';
import { bothReading, type ExtraEvents } from '../observability/tracing.ts';
import { createAcknowledger } from '../stream/acknowledger.ts';
import { createClaimRenewal } from '../stream/claim-renewal.ts';
import { type Consumer, createConsumer } from '../stream/consumer.ts';
import { createControl } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { createCrashCounts } from '../stream/crash-counts.ts';
import { entryTimeMs } from '../stream/entry-id.ts';
import { createLossRecord } from '../stream/losses.ts';
import { createConnection, openRedis } from '../stream/redis.ts';
import type { PrimaryFinder } from '../stream/topology.ts';
import type { Interpret } from '../teltonika/interpret.ts';
import { createGate, type Gate } from './gate.ts';
import { buildRedisGuards, type GuardSurroundings } from './guard-parts.ts';
import type { StreamState } from './stream-states.ts';

/** Time beyond the block time before a silent connection counts as dead. */
const readSlackMs = 3000;
/** Entries in one read, however many streams share READ_COUNT. */
const minReadCount = 50;

export interface StreamSurroundings extends GuardSurroundings {
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly account: Account;
  readonly budget: InFlightBudget;
  readonly primaries: PrimaryFinder;
  readonly extraEvents: ExtraEvents | undefined;
  /** Whether one more rejection is logged. */
  readonly mayLog: () => boolean;
  readonly interpretOf: (shard: number | null) => Interpret;
}

/** The parts of one stream; all but the connections of the others. */
export type StreamParts = ReturnType<typeof buildStream>;

/** Builds the parts of one stream: both connections to its Redis, and what uses them. */
export function buildStream(surroundings: StreamSurroundings, stream: Stream, state: StreamState) {
  const { config, budget } = surroundings;
  const log = shardLog(surroundings.log, stream.shard);
  const own: StreamSurroundings = { ...surroundings, log };
  const gate = createGate();
  // Without shards the start waits for the stream, so there is nothing to wait for afterwards.
  if (stream.shard === null) gate.open();
  const { guard, deadLetterGuard } = buildRedisGuards(own, state);
  const retryNow = () => {
    guard.retryNow();
    deadLetterGuard.retryNow();
  };
  const { connection, consumer, losses } = buildConnections(own, stream, state, retryNow);
  const acknowledger = createAcknowledger(
    connection.ready,
    { ...stream, instance: config.service.instance, maxFieldBytes: stream.deadLetterMaxBytes },
    now,
    {
      replaced: (entries) =>
        log.warn({ entries }, 'not acknowledged: other entries have these ids since a failover'),
    },
  );
  const inFlight = new InFlight(budget);
  const events = buildEvents(own, stream, state);
  const keys = controlKeys(stream.key);
  const reading: ReadingParts = {
    shard: stream.shard,
    inFlight,
    guard,
    deadLetterGuard,
    isolation: createPoisonIsolation({
      ...stream,
      ...createCrashCounts(connection.ready, keys),
      guard,
      events,
    }),
    read: readBehind(gate, consumer, stream),
    interpret: surroundings.interpretOf(stream.shard),
    acknowledge: acknowledger.acknowledge,
    async moveRound(held) {
      const result = await acknowledger.moveRound(held);
      // The reader recreates the group too, but not while these entries fill the in-flight budget.
      if (result.failure?.code === 'NOGROUP') await consumer.recreateGroup();
      return result;
    },
    events,
    readCount: readCountOf(stream.readCount, config.streams.length),
  };
  return {
    stream,
    log,
    state,
    gate,
    connection,
    consumer,
    losses,
    inFlight,
    guard,
    control: createControl(connection.ready, keys),
    renewClaims: createClaimRenewal(connection.ready, stream),
    reading,
  };
}

const now = () => Date.now();

/** Several streams share READ_COUNT, because their reads can return at the same time. */
export function readCountOf(readCount: number, streams: number): number {
  return Math.min(readCount, Math.max(minReadCount, Math.ceil(readCount / streams)));
}

/** Reads once the stream is prepared; until then every read waits and returns nothing. */
function readBehind(gate: Gate, consumer: Consumer, { blockMs }: Stream): ReadingParts['read'] {
  return async (limit, beforePending) => {
    const isOpen = gate.isOpen || (await gate.wait(blockMs));
    return isOpen ? await consumer.read(limit, beforePending) : [];
  };
}

/** Both connections, the consumer and the record of losses; nothing connects yet. */
function buildConnections(
  { config, metrics, log, account, primaries }: StreamSurroundings,
  stream: Stream,
  state: StreamState,
  onReady: () => void,
) {
  const { redis, service } = config;
  const suffix = stream.shard === null ? '' : `:${stream.shard}`;
  const openAs = (role: 'reader' | 'writer') => () =>
    openRedis(
      {
        ...redis,
        primaries,
        key: stream.key,
        connectionName: `processor:${service.instance}:${role}${suffix}`,
        onReconnect: () => metrics.redisReconnects.inc({ role }),
      },
      log,
    );
  const connection = createConnection(openAs('writer'), stream.key, onReady);
  const losses = createLossRecord(connection.ready, controlKeys(stream.key).lost, now);
  const consumer = createConsumer(
    openAs('reader'),
    connection.ready,
    { ...stream, slackMs: readSlackMs, now },
    createConsumerEvents(metrics, log, account, losses.add, (isConnected) =>
      state.connected('reader', isConnected),
    ),
  );
  return { connection, consumer, losses };
}

function buildEvents(
  { metrics, log, mayLog, extraEvents }: StreamSurroundings,
  { shard }: Stream,
  state: StreamState,
): ReadingEvents {
  const redisAnswered = () => state.redisUp(true);
  const own = createReadingEvents(metrics, log, { now, entryTimeMs, mayLog, shard, redisAnswered });
  return extraEvents === undefined ? own : bothReading(own, extraEvents.reading(shard));
}
