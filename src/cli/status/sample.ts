import { asDependencyError } from '../../db/errors.ts';
import { pendingOf, readHistory } from '../../db/migration-history.ts';
import { readMigrations } from '../../db/migrator.ts';
import { type Backlog, sampleBacklog } from '../../stream/backlog.ts';
import { createControl, type Pause } from '../../stream/control.ts';
import { controlKeys } from '../../stream/control-keys.ts';
import {
  type ConsumerView,
  type Passed,
  viewConsumers,
  viewPassed,
} from '../../stream/group-view.ts';
import { asRedisError } from '../../stream/redis.ts';
import type { Stores } from '../stores.ts';
import { type InstanceView, viewInstance } from './instance.ts';

/** What can be seen of the flow at one moment; a part that did not answer says why. */
export interface Sample {
  readonly atMs: number;
  readonly stream: Answer<StreamSample>;
  readonly database: Answer<DatabaseSample>;
  readonly instances: readonly Answer<InstanceView>[];
}

export type Answer<Value> =
  | { readonly kind: 'seen'; readonly value: Value }
  | { readonly kind: 'unreachable'; readonly who: string; readonly problem: string };

export interface StreamSample {
  readonly backlog: Backlog;
  readonly passed: Passed;
  readonly consumers: readonly ConsumerView[];
  readonly pause: Pause | null;
  /** Entries that were tried alone because instances died of them. */
  readonly suspects: number;
}

export interface DatabaseSample {
  /** How long it took to ask it for its migrations. */
  readonly answerMs: number;
  readonly pendingMigrations: number;
}

/** Looks once. Never throws: what cannot be reached is told as such. */
export async function takeSample(stores: Stores, metricsUrls: readonly string[]): Promise<Sample> {
  const atMs = Date.now();
  const [stream, database, ...instances] = await Promise.all([
    answerOf('redis', () => lookAtStream(stores, atMs)),
    answerOf('database', () => lookAtDatabase(stores)),
    ...metricsUrls.map((url) => answerOf(url, () => viewInstance(url))),
  ]);
  return { atMs, stream, database, instances };
}

async function answerOf<Value>(who: string, look: () => Promise<Value>): Promise<Answer<Value>> {
  try {
    return { kind: 'seen', value: await look() };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { kind: 'unreachable', who, problem };
  }
}

async function lookAtStream({ config, redis }: Stores, nowMs: number): Promise<StreamSample> {
  const { stream } = config;
  try {
    const client = await redis();
    const keys = controlKeys(stream.key);
    const passed = await viewPassed(client, stream);
    const backlog = await sampleBacklog(client, stream, nowMs);
    const consumers = await viewConsumers(client, stream);
    const pause = await createControl(redis, keys).readPause();
    const suspects = Object.keys(await client.hgetall(keys.suspects)).length;
    return { backlog, passed, consumers, pause, suspects };
  } catch (error) {
    throw asRedisError(error);
  }
}

async function lookAtDatabase({ database }: Stores): Promise<DatabaseSample> {
  const migrations = await readMigrations(new URL('../../../migrations/', import.meta.url));
  const since = performance.now();
  try {
    // Nothing of the table itself: it has no index on time alone, and a look must not read a day.
    const history = await database().use((client) => readHistory(client, migrations));
    return {
      answerMs: performance.now() - since,
      pendingMigrations: pendingOf(history).length,
    };
  } catch (error) {
    throw asDependencyError(error);
  }
}
