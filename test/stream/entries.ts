import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import type { Entry, EntryId, Logger } from '../../src/core/types.ts';
import type { Acknowledged, Acknowledger, Settled } from '../../src/stream/acknowledger.ts';
import { type Consumer, type ConsumerEvents, createConsumer } from '../../src/stream/consumer.ts';
import { makeEntry } from '../../src/stream/make-entry.ts';
import { singleServer } from '../../src/stream/primary-finder.ts';
import { createConnection, openRedis } from '../../src/stream/redis.ts';
import type { PrimaryFinder } from '../../src/stream/topology.ts';
import { redisUrl } from '../setup/database.ts';

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export function entryId(text: string): EntryId {
  // What Redis would have printed.
  return text as EntryId;
}

export function entryOf(fields: readonly (string | Buffer)[], id = '1-1'): Entry {
  const parts = fields.map((field) => Buffer.from(field));
  return makeEntry(entryId(id), parts);
}

/** Opens a client to inspect Redis; disconnects it after the test. */
export function connect(
  url = redisUrl(),
  change: { readonly commandTimeout?: number } = {},
): Redis {
  const redis = new Redis(url, { protocol: 2, ...change });
  redis.on('error', () => {});
  onTestFinished(() => redis.disconnect());
  return redis;
}

export interface Heard {
  lostUndelivered: number[];
  uncertain: number[];
  wentBack: number;
  claimRuns: number;
  removed: string[];
  recreated: number;
  readonly lost: EntryId[];
  claimed: number;
  /** Every connection the consumer opened, oldest first. */
  readonly connections: Redis[];
}

export interface ConsumerChange {
  readonly consumer?: string;
  readonly claimThresholdMs?: number;
  readonly claimIntervalMs?: number;
  readonly consumerIdleMs?: number;
  readonly url?: string;
  /** In place of `url`. */
  readonly primaries?: PrimaryFinder;
  readonly commandTimeoutMs?: number;
}

/** How CLIENT LIST names the blocking connection of a consumer. */
export function readerName(key: string, consumer: string): string {
  return `processor:test:${key}:${consumer}`;
}

/** A consumer of the group, and the events it reported. */
export function openConsumer(
  stream: { readonly key: string; readonly group: string },
  {
    consumer = 'one',
    claimThresholdMs = 3_600_000,
    claimIntervalMs = 1,
    consumerIdleMs = 3_600_000,
    url = redisUrl(),
    primaries = singleServer(url),
    commandTimeoutMs = 10_000,
  }: ConsumerChange = {},
): { consumer: Consumer; heard: Heard; shared: () => Promise<Redis> } {
  const heard: Heard = {
    recreated: 0,
    lost: [],
    claimed: 0,
    connections: [],
    lostUndelivered: [],
    uncertain: [],
    wentBack: 0,
    claimRuns: 0,
    removed: [],
  };
  const events: ConsumerEvents = {
    groupRecreated() {
      heard.recreated += 1;
    },
    lostPending(ids) {
      heard.lost.push(...ids);
    },
    claimed(entries) {
      heard.claimed += entries;
    },
    lostUndelivered(entries) {
      heard.lostUndelivered.push(entries);
    },
    lossUncertain(maxEntries) {
      heard.uncertain.push(maxEntries);
    },
    streamWentBack() {
      heard.wentBack += 1;
    },
    claimRun() {
      heard.claimRuns += 1;
    },
    consumersRemoved(names) {
      heard.removed.push(...names);
    },
    connected() {},
  };
  const openAs = (connectionName: string) => () => {
    const redis = openRedis(
      {
        primaries,
        key: stream.key,
        connectionName,
        connectTimeoutMs: 5000,
        commandTimeoutMs,
        onReconnect: () => {},
      },
      silent,
    );
    heard.connections.push(redis);
    return redis;
  };
  const shared = createConnection(openAs('processor:test:shared'), stream.key);
  const opened = createConsumer(
    openAs(readerName(stream.key, consumer)),
    shared.ready,
    {
      ...stream,
      consumer,
      blockMs: 100,
      slackMs: commandTimeoutMs / 2,
      claimThresholdMs,
      claimIntervalMs,
      consumerIdleMs,
      now: () => Date.now(),
    },
    events,
  );
  onTestFinished(() => {
    opened.close();
    shared.close();
  });
  return { consumer: opened, heard, shared: shared.ready };
}

/** What the pipeline passes on to be acknowledged. */
export function acknowledged(entry: Entry): Acknowledged {
  return { entry, isReplaced: false };
}

/** Moves all of them, round by round. @throws the first failure */
export async function moveAll(
  acknowledger: Acknowledger,
  settled: readonly Settled[],
): Promise<void> {
  for (let left = settled; left.length > 0; ) {
    const { moved, failure } = await acknowledger.moveRound(left);
    if (failure !== null) throw failure;
    left = left.slice(moved.length);
  }
}
