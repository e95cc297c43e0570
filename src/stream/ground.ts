import { type Redis, ReplyError } from 'ioredis';
import { DependencyError } from '../core/types.ts';

/** What kind of server answers; null where it does not say. */
export interface Ground {
  readonly mode: string | null;
  readonly role: string | null;
  /** Of a replica: `host:port`. */
  readonly primary: string | null;
}

/** Codes of a server that is no single primary Redis. */
const groundCodes = ['SENTINEL', 'CLUSTER', 'REPLICA'] as const;
export type GroundCode = (typeof groundCodes)[number];

export function isGroundCode(code: string): code is GroundCode {
  return groundCodes.some((known) => known === code);
}

/** Asks with INFO, which every user of the shipped ACL may run. @throws what is no answer of Redis */
export async function readGround(redis: Redis): Promise<Ground> {
  try {
    const text = String(await redis.call('INFO', 'server', 'replication'));
    const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1] ?? null;
    const host = field('master_host');
    const primary = host === null ? null : `${host}:${field('master_port')}`;
    return { mode: field('redis_mode'), role: field('role'), primary };
  } catch (error) {
    // Another ACL than the shipped one may refuse INFO: then the commands themselves show it.
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    return { mode: null, role: null, primary: null };
  }
}

/** The code and the advice for a server that is no single primary Redis; null for one that is. */
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

/** All keys are named after the stream: with a hash tag they are in one slot of one node. */
function hasHashTag(streamKey: string | null): boolean {
  return streamKey !== null && /\{[^}]+\}/.test(streamKey);
}

/**
 * Makes sure that the server is a single primary. A failover passes by itself, so that it is asked
 * on a new connection and not concluded from one READONLY.
 * @throws DependencyError
 */
export async function checkGround(redis: Redis, streamKey: string | null): Promise<void> {
  const fault = groundFault(await readGround(redis), streamKey);
  if (fault === null) return;
  throw new DependencyError('redis', 'configuration', fault.code, `redis: ${fault.advice}`);
}
