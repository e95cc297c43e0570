import type { Command } from 'commander';
import type { Redis } from 'ioredis';
import type { Config } from '../config/load.ts';
import { DependencyError } from '../core/types.ts';
import { failureText } from './failure-text.ts';
import { numbersText } from './format.ts';
import { type CliExit, cliExits } from './io.ts';
import { wholeNumber } from './options.ts';

/** A shard, or the only stream. */
export type Stream = Config['streams'][number];

/** A stream that a command works on, and the connection to its server. */
export interface StreamStore {
  readonly stream: Stream;
  /** @throws DependencyError */
  readonly redis: () => Promise<Redis>;
}

/** The option of every command that works on streams. */
export interface ShardFlags {
  /** Only this shard; by default all shards of READ_SHARDS. */
  readonly shard?: number;
}

/** Adds the option that selects one shard. */
export function sharded(command: Command): Command {
  return command.option(
    '--shard <number>',
    'with STREAM_SHARDS: only this shard; default: all shards of READ_SHARDS',
    wholeNumber,
  );
}

/** Selects the streams of a command, or says why the shard that the operator named is none of them. */
export function selectStreams(
  { shards, streams }: Pick<Config, 'shards' | 'streams'>,
  shard: number | undefined,
): readonly Stream[] | { readonly problem: string } {
  if (shard === undefined) return streams;
  if (shards === null) {
    return { problem: `shard ${shard}: there are no shards, because STREAM_SHARDS is not set` };
  }
  const found = streams.filter((stream) => stream.shard === shard);
  if (found.length > 0) return found;
  const rule = shards.read.length === shards.count ? 'STREAM_SHARDS' : 'READ_SHARDS';
  return { problem: `shard ${shard}: expected one of ${numbersText(shards.read)} (${rule})` };
}

/** The result for one stream. */
export interface Answered<Value> {
  readonly store: StreamStore;
  readonly value: Value;
}

/** A shard without a result. */
export interface Missing {
  readonly shard: number;
  readonly problem: string;
  /** Whether its server was reached before the failure, so that a change may be done in part. */
  readonly hasBegun: boolean;
}

export type Outcome<Value> = Answered<Value> | Missing;

/** The results of the shards that answered, in the order of the shards, and the shards that did not. */
export interface Answers<Value> {
  readonly answered: readonly Answered<Value>[];
  readonly missing: readonly Missing[];
}

/** The missing shards of a plan, which changes nothing. */
export function untouched(missing: readonly Missing[]): Missing[] {
  return missing.map((one) => ({ ...one, hasBegun: false }));
}

/** The streams whose shard is not missing. */
export function without(
  streams: readonly StreamStore[],
  missing: readonly Missing[],
): readonly StreamStore[] {
  return streams.filter(({ stream }) => missing.every(({ shard }) => shard !== stream.shard));
}

/** A partial answer fails. */
export function exitOf(missing: readonly Missing[]): CliExit {
  return missing.length === 0 ? cliExits.ok : cliExits.failed;
}

/** Shards that a command works on at the same time, which also bounds the connections being opened. */
const maxAtOnce = 8;

/**
 * Does the work on each stream. A shard whose Redis fails is missing in the answers, and the others
 * finish. Without shards, and for any other error, it rejects after all have ended.
 */
export async function overShards<Value>(
  streams: readonly StreamStore[],
  work: (store: StreamStore) => Promise<Value>,
  atOnce = maxAtOnce,
): Promise<Answers<Value>> {
  const found = await forEachStream(streams, (store) => attempt(store, work), atOnce);
  return {
    answered: found.filter((outcome) => 'value' in outcome),
    missing: found.filter((outcome) => 'problem' in outcome),
  };
}

/** Does the work on some streams at a time. @returns the results in the order of the streams */
export async function forEachStream<Value>(
  streams: readonly StreamStore[],
  work: (store: StreamStore) => Promise<Value>,
  atOnce = maxAtOnce,
): Promise<Value[]> {
  const results: { readonly at: number; readonly value: Value }[] = [];
  const waiting = [...streams.entries()];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [at, store] = next;
      results.push({ at, value: await work(store) });
    }
  };
  const workers = Array.from({ length: Math.min(atOnce, streams.length) }, worker);
  for (const ended of await Promise.allSettled(workers)) {
    if (ended.status === 'rejected') throw ended.reason;
  }
  return results.sort((a, b) => a.at - b.at).map(({ value }) => value);
}

/** Does the work on one stream. @throws an error that is no failure of a shard's Redis */
export async function attempt<Value>(
  store: StreamStore,
  work: (store: StreamStore) => Promise<Value>,
): Promise<Outcome<Value>> {
  const { shard } = store.stream;
  let hasBegun = false;
  try {
    await store.redis();
    hasBegun = true;
    return { store, value: await work(store) };
  } catch (error) {
    if (shard === null || !isRedisFailure(error)) throw error;
    return { shard, problem: failureText(error), hasBegun };
  }
}

function isRedisFailure(error: unknown): error is DependencyError {
  return error instanceof DependencyError && error.dependency === 'redis';
}

/**
 * Yields what the streams hold in one order, each stream read page by page; `read` yields in that
 * order. The shards that fail are added to `missing`, and the others go on.
 */
export async function* mergeShards<Item>(
  streams: readonly StreamStore[],
  read: (store: StreamStore) => AsyncGenerator<Item>,
  compare: (a: Item, b: Item) => number,
  missing: Missing[],
): AsyncGenerator<{ readonly store: StreamStore; readonly item: Item }> {
  const first = await overShards(streams, async (store) => {
    const items = read(store);
    return { items, head: await items.next() };
  });
  missing.push(...first.missing);
  let heads = first.answered.map(({ store, value }) => ({ store, ...value }));
  for (;;) {
    heads = heads.filter(({ head }) => head.done !== true);
    const [some, ...others] = heads;
    if (some === undefined) return;
    const next = others.reduce((a, b) => (compare(b.head.value, a.head.value) < 0 ? b : a), some);
    yield { store: next.store, item: next.head.value };
    const outcome = await attempt(next.store, () => next.items.next());
    if ('value' in outcome) next.head = outcome.value;
    else {
      missing.push(outcome);
      heads = heads.filter((one) => one !== next);
    }
  }
}
