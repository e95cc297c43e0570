import type { Redis } from 'ioredis';
import { DependencyError } from '../core/types.ts';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { checkGround } from '../stream/ground.ts';
import { viewConsumers } from '../stream/group-view.ts';
import { infoOf } from '../stream/info.ts';
import { createPrimaryFinder, type ServerOptions } from '../stream/primary-finder.ts';
import { endOnRefusedSelect, watchReason } from '../stream/redis.ts';
import { shardKey } from '../stream/shards.ts';
import { openClient, type PrimaryFinder } from '../stream/topology.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** After it the sender replaces the connection and sends the entry again under its id. */
const COMMAND_TIMEOUT_MS = 5_000;

export interface SimulateRedis {
  readonly redis: Omit<ServerOptions, 'connectTimeoutMs'>;
}

/** The streams to send to: one for each shard, or the only one. */
export function streamsOf({ stream, shards }: SimulateStream): readonly string[] {
  if (shards === null) return [stream];
  return Array.from({ length: shards }, (_, shard) => shardKey(stream, shard));
}

export interface SimulateStream {
  readonly stream: string;
  /** The number of shards; null: the stream has none. */
  readonly shards: number | null;
}

/** @returns a connection; the caller ends it. @throws when Redis cannot be reached, or is no single primary */
export async function checkServer(
  { open, reason }: ReturnType<typeof openConnections>,
  stream: string,
): Promise<Redis> {
  const redis = open();
  try {
    await redis.connect().catch((cause) => {
      const message = `no connection to Redis: ${reason()}; are REDIS_URL and its password right?`;
      throw new Error(message, { cause });
    });
    await checkGround(redis, stream);
    return redis;
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}

/** A consumer that asked within this time is alive; a service asks every READ_BLOCK_MS, 2 s. */
const aliveMs = 30_000;

/**
 * Checks for a live consumer of the stream. For a user that may not read consumers (`ingestion`),
 * every consumer counts as live.
 */
export async function hasLiveConsumers(redis: Redis, stream: string): Promise<boolean> {
  if ((await redis.exists(stream)) === 0) return false;
  const groups: unknown = await redis.call('XINFO', 'GROUPS', stream);
  for (const info of Array.isArray(groups) ? groups.map(infoOf) : []) {
    if (Number(info.get('consumers')) === 0) continue;
    try {
      const consumers = await viewConsumers(redis, {
        key: stream,
        group: String(info.get('name')),
      });
      if (consumers.some(({ idleMs }) => idleMs < aliveMs)) return true;
    } catch (error) {
      if (!isRefused(error)) throw error;
      return true;
    }
  }
  return false;
}

/** Leaves an audit line where the user may. @returns whether it did */
export async function noteSimulation(
  redis: Redis,
  stream: string,
  { by, detail }: { readonly by: string; readonly detail: string },
): Promise<boolean> {
  try {
    const switches = createSwitches(() => Promise.resolve(redis), controlKeys(stream));
    await switches.note({ by, command: 'simulate', detail });
    return true;
  } catch (error) {
    if (!isRefused(error)) throw error;
    return false;
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof DependencyError && error.code === 'NOPERM';
}

/** Finds the servers of the options; all connections share it. */
export function findServers({ redis }: SimulateRedis): PrimaryFinder {
  return createPrimaryFinder({ ...redis, connectTimeoutMs: CONNECT_TIMEOUT_MS });
}

/** Opens connections to the Redis of a stream, and keeps the reason of the last failure. */
export function openConnections(primaries: PrimaryFinder, stream: string) {
  // The rejection of a connect only says that it is closed; an event says why.
  let reasonOf: () => Error | null = () => null;
  return {
    reason: () => reasonOf()?.message ?? 'no answer',
    open(): Redis {
      const redis = openClient(primaries, stream, {
        connectionName: 'processor:simulate',
        connectTimeout: CONNECT_TIMEOUT_MS,
        commandTimeout: COMMAND_TIMEOUT_MS,
        lazyConnect: true,
        enableOfflineQueue: false,
        // Two commands more that an ACL would have to allow.
        disableClientInfo: true,
        protocol: 2,
        // The sender resends, because only it knows under which id.
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        retryStrategy: () => null,
      });
      endOnRefusedSelect(redis);
      reasonOf = watchReason(redis);
      return redis;
    },
  };
}
