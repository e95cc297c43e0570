import { asDependencyError } from '../../db/errors.ts';
import { pendingOf, readHistory } from '../../db/migration-history.ts';
import { readMigrations } from '../../db/migrator.ts';
import { scrub } from '../../observability/scrub.ts';
import { type Backlog, sampleBacklog } from '../../stream/backlog.ts';
import { createControl, type Pause } from '../../stream/control.ts';
import { controlKeys } from '../../stream/control-keys.ts';
import { type GroupProgress, viewProgress } from '../../stream/group-progress.ts';
import { type Losses, readLosses } from '../../stream/losses.ts';
import { callRedis } from '../../stream/redis.ts';
import type { Stores } from '../stores.ts';
import { type InstanceView, viewInstance } from './instance.ts';

/** What can be seen of the flow at one moment; a part that did not answer says why. */
export interface Sample {
  readonly atMs: number;
  readonly stream: Answer<StreamSample> | Absent;
  readonly database: Answer<DatabaseSample>;
  readonly instances: readonly Answer<InstanceView>[];
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
  const [stream, database, ...instances] = await Promise.all([
    orUnreachable('redis', () => sampleStream(stores, atMs, claimMs)),
    orUnreachable('database', async () => seen(await sampleDatabase(stores))),
    ...metricsUrls.map((url) => orUnreachable(url, async () => seen(await viewInstance(url)))),
  ]);
  return { atMs, stream, database, instances };
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
    return { kind: 'unreachable', who, problem: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  return scrub(error instanceof Error ? error.message : String(error));
}

async function sampleStream(
  { config, redis }: Stores,
  nowMs: number,
  claimMs: number,
): Promise<Seen<StreamSample> | Absent> {
  const { stream } = config;
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
  { key, group }: { readonly key: string; readonly group: string },
): Absent {
  const problem =
    kind === 'no_stream'
      ? `the stream ${key} does not exist: nothing was ever written to it, and no instance has started`
      : `the stream ${key} has no group ${group}: no instance has started with this configuration`;
  return { kind: 'absent', problem };
}

async function sampleDatabase({ database }: Stores): Promise<DatabaseSample> {
  const migrations = await readMigrations(new URL('../../../migrations/', import.meta.url));
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
