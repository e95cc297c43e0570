import { shardKey } from '../stream/shards.ts';
import type { CompleteValues } from './complete.ts';
import { show } from './read.ts';
import type { Report, Values } from './types.ts';
import { variables } from './variables.ts';

/** The stream whose name REDIS_TELEMETRY_STREAM gives is divided into shards. */
export interface Shards {
  readonly name: string;
  readonly count: number;
  /** The shards that this instance reads, in ascending order. */
  readonly read: readonly number[];
}

/** One stream that this instance reads: a shard, or the only one. */
export type Stream = ReturnType<typeof streamSection>;

/** A list that is never empty. */
type Some<Item> = readonly [Item, ...Item[]];

/** Arranges the shards and the streams to read: one for each shard, or exactly one without shards. */
export function arrangeStreams(values: CompleteValues, consumer: string) {
  const { streamKey: name, streamShards: count } = values;
  const shards: Shards | null =
    count === null ? null : { name, count, read: values.readShards ?? allOf(count) };
  const [first = null, ...others] = shards?.read ?? [null];
  const section = (shard: number | null) => streamSection(values, consumer, shard);
  const streams: Some<Stream> = [section(first), ...others.map(section)];
  return { shards, streams };
}

function streamSection(values: CompleteValues, consumer: string, shard: number | null) {
  const key = shard === null ? values.streamKey : shardKey(values.streamKey, shard);
  return {
    /** Null without STREAM_SHARDS. */
    shard,
    key,
    group: values.group,
    consumer,
    readCount: values.readCount,
    blockMs: values.blockMs,
    claimThresholdMs: values.claimThresholdMs,
    claimIntervalMs: values.claimIntervalMs,
    consumerIdleMs: values.consumerIdleMs,
    maxDeliveries: values.maxDeliveries,
    deadLetterKey: values.deadLetterKey ?? `${key}:dlq`,
    deadLetterMaxEntries: values.deadLetterMaxEntries,
    deadLetterStreamMaxBytes: values.deadLetterStreamMaxBytes,
    deadLetterMaxBytes: values.deadLetterMaxBytes,
  };
}

function allOf(count: number): number[] {
  return Array.from({ length: count }, (_, shard) => shard);
}

/** The rule of each variable, as the report prints it. */
export const streamRules = {
  streamKey: 'a name without {, because STREAM_SHARDS adds the hash tag of each shard',
  readShards: 'a part of the shards, with STREAM_SHARDS set',
  deadLetterKey:
    'unset with STREAM_SHARDS, because the dead letters of a shard must lie in its slot: its name with :dlq',
} as const;

/** Reports names and shards that contradict each other. */
export function reportStreamProblems(values: Values, report: Report): void {
  const { streamKey, deadLetterKey, streamShards: count, readShards } = values;
  const reject = (key: keyof typeof streamRules, got: string) => {
    const { name, example } = variables[key];
    report({ name, example, shape: streamRules[key] }, got);
  };
  if (deadLetterKey !== null && deadLetterKey === streamKey) reportLoop(deadLetterKey, report);
  if (readShards !== null) {
    const beyond = readShards.filter((shard) => count === null || shard >= count);
    if (count === null) reject('readShards', 'shards to read, without STREAM_SHARDS');
    else if (beyond.length > 0) reject('readShards', `${beyond[0]}, with STREAM_SHARDS=${count}`);
  }
  if (count === null) return;
  if (deadLetterKey !== null) reject('deadLetterKey', `${show(deadLetterKey)}, with STREAM_SHARDS`);
  if (streamKey?.includes('{')) reject('streamKey', `${show(streamKey)}, with STREAM_SHARDS`);
}

/** A dead letter in the input stream would be read, rejected and written again without end. */
function reportLoop(deadLetterKey: string, report: Report): void {
  const { deadLetterKey: field, streamKey: stream } = variables;
  const shape = `another stream than ${stream.name}`;
  report({ ...field, shape }, `${show(deadLetterKey)}, the same as ${stream.name}`);
}
