import { type Redis, ReplyError } from 'ioredis';
import { DependencyError } from '../core/types.ts';
import { type TopologyKind, topologyOf } from './topology.ts';

/** What the server reports of itself; null where it does not. */
export interface Ground {
  /** Changes with every start of the server. */
  readonly runId: string | null;
  /**
   * Replication id of the server, which marks one history of the data set. A server that starts or is
   * promoted gets another one; a run_id stays when a server is promoted a second time.
   */
  readonly history: string | null;
  readonly mode: string | null;
  readonly role: string | null;
  /** Address of a replica's primary, `host:port`. */
  readonly primary: string | null;
}

/** Error codes for a server that is not a single primary Redis. */
const groundCodes = ['SENTINEL', 'CLUSTER', 'REPLICA'] as const;
export type GroundCode = (typeof groundCodes)[number];

export function isGroundCode(code: string): code is GroundCode {
  return groundCodes.some((known) => known === code);
}

/** Runs INFO, which every user of the shipped ACL may run. @throws anything but a Redis error reply */
export async function readGround(redis: Redis): Promise<Ground> {
  try {
    const text = String(await redis.call('INFO', 'server', 'replication'));
    const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1] ?? null;
    const host = field('master_host');
    const primary = host === null ? null : `${host}:${field('master_port')}`;
    return {
      runId: field('run_id'),
      history: field('master_replid'),
      mode: field('redis_mode'),
      role: field('role'),
      primary,
    };
  } catch (error) {
    // A custom ACL may refuse INFO; then the first command that fails shows the problem.
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    return { runId: null, history: null, mode: null, role: null, primary: null };
  }
}

const histories = new WeakMap<Redis, string | null>();

/** The history of the server, as the last `checkGround` of this connection found it; null if unknown. */
export function historyOf(redis: Redis): string | null {
  return histories.get(redis) ?? null;
}

interface Fault {
  readonly kind: DependencyError['kind'];
  readonly code: GroundCode;
  readonly advice: string;
}

/** What is wrong with the server for the topology of REDIS_URL; null if nothing is. */
function groundFault(
  { mode, role, primary }: Ground,
  topology: TopologyKind,
  streamKey: string | null,
): Fault | null {
  const kind = 'configuration';
  if (mode === 'sentinel') {
    const advice =
      'this is a sentinel, not a Redis: use redis+sentinel://<sentinels>/<primary name> in REDIS_URL';
    return { kind, code: 'SENTINEL', advice };
  }
  if (mode === 'cluster' && !hasHashTag(streamKey)) {
    const advice =
      topology === 'cluster'
        ? 'on a cluster set STREAM_SHARDS, or a stream name with a hash tag'
        : 'redis is a cluster: use redis+cluster:// in REDIS_URL';
    return { kind, code: 'CLUSTER', advice };
  }
  if (role !== 'slave' && role !== 'replica') return null;
  const of = primary === null ? '' : ` of ${primary}`;
  if (topology === 'single') {
    const advice = `this is a replica${of}: name the primary in REDIS_URL; nothing is read until it is promoted`;
    return { kind, code: 'REPLICA', advice };
  }
  const found = topology === 'sentinel' ? 'the sentinels named' : 'the cluster named';
  const advice = `${found} a replica${of}, which a failover in progress may cause: asking again`;
  return { kind: 'unavailable', code: 'REPLICA', advice };
}

/** Whether all keys are in one slot: they are named after the stream, so its hash tag decides. */
function hasHashTag(streamKey: string | null): boolean {
  return streamKey !== null && /\{[^}]+\}/.test(streamKey);
}

/**
 * Checks that the server is the primary that REDIS_URL leads to. Called on a new connection, because one READONLY
 * reply may be a failover that ends without action.
 * @throws DependencyError
 */
export async function checkGround(redis: Redis, streamKey: string | null): Promise<Ground> {
  const ground = await readGround(redis);
  histories.set(redis, ground.history);
  const fault = groundFault(ground, topologyOf(redis), streamKey);
  if (fault === null) return ground;
  throw new DependencyError('redis', fault.kind, fault.code, `redis: ${fault.advice}`);
}
