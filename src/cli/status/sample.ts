import { DependencyError } from '../../core/types.ts';
import { asDependencyError } from '../../db/errors.ts';
import { pendingOf, readHistory } from '../../db/migration-history.ts';
import { migrationsFolder } from '../../db/migrations-folder.ts';
import { readMigrations } from '../../db/migrator.ts';
import { scrub } from '../../observability/scrub.ts';
import { type Backlog, sampleBacklog } from '../../stream/backlog.ts';
import { createControl, type Pause } from '../../stream/control.ts';
import { controlKeys } from '../../stream/control-keys.ts';
import { type GroupProgress, viewProgress } from '../../stream/group-progress.ts';
import { type Losses, readLosses } from '../../stream/losses.ts';
import { callRedis } from '../../stream/redis.ts';
import { failureText } from '../failure-text.ts';
import { shardsText } from '../shard-text.ts';
import { forEachStream, type StreamStore } from '../shards.ts';
import type { Stores } from '../stores.ts';
import { type InstanceView, viewInstance } from './instance.ts';

/** What can be seen of the flow at one moment; a part that did not answer says why. */
export interface Sample {
  readonly atMs: number;
  /** One for each shard; exactly one without shards. */
  readonly streams: readonly StreamPart[];
  readonly database: Answer<DatabaseSample>;
  readonly instances: readonly Answer<InstanceView>[];
}

/** One stream in a sample. */
export interface StreamPart {
  readonly shard: number | null;
  readonly stream: Answer<StreamSample> | Absent;
}

/** One stream at the time of its sample. */
export interface Moment extends StreamPart {
  readonly atMs: number;
}

/** A shard of a sample; null in a sample that has no such shard. */
export function momentOf({ atMs, streams }: Sample, shard: number | null): Moment | null {
  const part = streams.find((one) => one.shard === shard);
  return part === undefined ? null : { atMs, ...part };
}

export type Answer<Value> = Seen<Value> | Unreachable;

interface Seen<Value> {
  readonly kind: 'seen';
  readonly value: Value;
}

interface Unreachable {
  readonly kind: 'unreachable';
  readonly who: string;
  readonly problem: string;
}

/** Redis answers, and the stream or its group is not there. */
export interface Absent {
  readonly kind: 'absent';
  readonly problem: string;
}

export interface StreamSample {
  readonly backlog: Backlog;
  readonly progress: GroupProgress;
  readonly pause: Pause | null;
  /** Entries that are processed in isolation, because instances crashed on them. */
  readonly suspects: number;
  /** What instances counted as lost in the last day. */
  readonly losses: Losses | null;
}

export interface DatabaseSample {
  /** How long it took to ask it for its migrations. */
  readonly answerMs: number;
  readonly pendingMigrations: number;
}

/** Takes one sample. Never throws: a part that cannot be reached is reported as such. */
export async function takeSample(
  stores: Stores,
  metricsUrls: readonly string[],
  claimMs: number,
): Promise<Sample> {
  const atMs = Date.now();
  const [streams, database, ...instances] = await Promise.all([
    forEachStream(stores.streams, (store) => partOf(store, atMs, claimMs)),
    orUnreachable('database', async () => seen(await sampleDatabase(stores))),
    ...metricsUrls.map((url) => orUnreachable(url, async () => seen(await viewInstance(url)))),
  ]);
  return { atMs, streams, database, instances };
}

async function partOf(store: StreamStore, atMs: number, claimMs: number): Promise<StreamPart> {
  const { shard } = store.stream;
  const who = shard === null ? 'redis' : shardsText([shard]);
  return { shard, stream: await orUnreachable(who, () => sampleStream(store, atMs, claimMs)) };
}

function seen<Value>(value: Value): Seen<Value> {
  return { kind: 'seen', value };
}

async function orUnreachable<Found>(
  who: string,
  ask: () => Promise<Found>,
): Promise<Found | Unreachable> {
  try {
    return await ask();
  } catch (error) {
    return { kind: 'unreachable', who, problem: messageOf(who, error) };
  }
}

/** With shards also the cause, which names the node. */
function messageOf(who: string, error: unknown): string {
  if (who.startsWith('shard ') && error instanceof DependencyError) return failureText(error);
  return scrub(error instanceof Error ? error.message : String(error));
}

async function sampleStream(
  { stream, redis }: StreamStore,
  nowMs: number,
  claimMs: number,
): Promise<Seen<StreamSample> | Absent> {
  return await callRedis(async () => {
    const client = await redis();
    const keys = controlKeys(stream.key);
    const progress = await viewProgress(client, stream, claimMs);
    if (progress.kind !== 'there') return absentOf(progress.kind, stream);
    const backlog = await sampleBacklog(client, stream, nowMs);
    const pause = await createControl(redis, keys).readPause();
    const suspects = Object.keys(await client.hgetall(keys.suspects)).length;
    const losses = await readLosses(client, keys.lost);
    return seen({ backlog, progress: progress.value, pause, suspects, losses });
  });
}

function absentOf(
  kind: 'no_stream' | 'no_group',
  { shard, key, group }: StreamStore['stream'],
): Absent {
  const stream = shard === null ? `the stream ${key}` : 'the stream';
  const problem =
    kind === 'no_stream'
      ? `${stream} does not exist: nothing was ever written to it, and no instance has started`
      : `${stream} has no group ${group}: no instance has started with this configuration`;
  return { kind: 'absent', problem };
}

async function sampleDatabase({ database }: Stores): Promise<DatabaseSample> {
  const migrations = await readMigrations(migrationsFolder);
  const since = performance.now();
  try {
    // Nothing of the table itself: it has no index on time alone, and a sample must not read a day.
    const history = await database().use((client) => readHistory(client, migrations));
    return {
      answerMs: performance.now() - since,
      pendingMigrations: pendingOf(history).length,
    };
  } catch (error) {
    throw asDependencyError(error);
  }
}
