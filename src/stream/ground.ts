import { type Redis, ReplyError } from 'ioredis';
import { DependencyError } from '../core/types.ts';

/** Mode and role of the server; null where it does not report them. */
export interface Ground {
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
    return { mode: field('redis_mode'), role: field('role'), primary };
  } catch (error) {
    // A custom ACL may refuse INFO; then the first command that fails shows the problem.
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    return { mode: null, role: null, primary: null };
  }
}

/** Code and advice for a server that is not a single primary Redis; null for one that is. */
function groundFault(
  { mode, role, primary }: Ground,
  streamKey: string | null,
): { readonly code: GroundCode; readonly advice: string } | null {
  if (mode === 'sentinel') {
    const advice =
      'this is a Redis Sentinel, which is not supported yet: name the primary itself in REDIS_URL';
    return { code: 'SENTINEL', advice };
  }
  if (mode === 'cluster' && !hasHashTag(streamKey)) {
    const advice =
      'this is a node of a Redis Cluster, which is not supported yet: name a single Redis in REDIS_URL';
    return { code: 'CLUSTER', advice };
  }
  if (role === 'slave' || role === 'replica') {
    const of = primary === null ? '' : ` of ${primary}`;
    const advice = `this is a replica${of}: name the primary in REDIS_URL; nothing is read until it is promoted`;
    return { code: 'REPLICA', advice };
  }
  return null;
}

/** Whether all keys are in one slot: they are named after the stream, so its hash tag decides. */
function hasHashTag(streamKey: string | null): boolean {
  return streamKey !== null && /\{[^}]+\}/.test(streamKey);
}

/**
 * Checks that the server is a single primary. Called on a new connection, because one READONLY
 * reply may be a failover that ends without action.
 * @throws DependencyError
 */
export async function checkGround(redis: Redis, streamKey: string | null): Promise<void> {
  const fault = groundFault(await readGround(redis), streamKey);
  if (fault === null) return;
  throw new DependencyError('redis', 'configuration', fault.code, `redis: ${fault.advice}`);
}
